"""Made-up results in which every claim of the paper holds, and what changes single ones of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from synthetic_report import bowl, make_network, make_plane

from lossatlas.report.artefacts import Cut, Cuts, Descent, Eigenvalues, Results, Run, Slices, Surface
from lossatlas.report.claims.minimizers import EIGHT
from lossatlas.report.claims.trainability import CONTROL, DEEP
from lossatlas.results import (
    HessianMap,
    History,
    Line,
    Plane,
    Profile,
    SliceCurvatures,
    Trajectory,
    WeightHistogram,
)

# radii grow as the test error falls
VGG9_ERRORS = {
    "vgg9": 0.06,
    "vgg9_nowd": 0.08,
    "vgg9_large": 0.11,
    "vgg9_large_nowd": 0.13,
    "vgg9_adam": 0.07,
    "vgg9_adam_nowd": 0.09,
    "vgg9_adam_large": 0.12,
    "vgg9_adam_large_nowd": 0.14,
}
RESNETS = {"resnet20": 0.08, "resnet56": 0.06, "resnet110": 0.055, "resnet20_noshort": 0.09}
RESNETS |= {"resnet56_noshort": 0.13, "resnet110_noshort": 0.16}
WIDE = {"wrn56_2": 0.05, "wrn56_4": 0.043, "wrn56_8": 0.039}
WIDE |= {"wrn56_2_noshort": 0.10, "wrn56_4_noshort": 0.097, "wrn56_8_noshort": 0.087}
ERRORS = {**VGG9_ERRORS, **RESNETS, **WIDE, "densenet121": 0.05}
EPOCHS, DROP = 40, 20


def steps_of(run: str) -> int:
    return 2 if "large" in run else 32  # per epoch


def weight_norm(step: Any, *, decay: bool) -> Any:
    """Grow without bound, or fall to a fifth; as a function of steps, so that both batches have one rate."""
    return 20 - 16 * (1 - np.exp(-step / 15)) if decay else 20 + 0.05 * step


def make_history(run: str) -> History:
    per, epoch = steps_of(run), np.arange(EPOCHS + 1)
    step, decay = np.arange(1, per * EPOCHS + 1), "nowd" not in run
    rows: dict[str, Any] = {
        name: np.full(EPOCHS + 1, 0.1) for name in ("train_loss", "train_error", "test_loss", "test_error")
    }
    return History(
        epoch=epoch,
        learning_rate=np.where(epoch > DROP, 0.01, 0.1),
        weight_norm=weight_norm(per * epoch, decay=decay),
        step=step,
        step_learning_rate=np.where(step > per * DROP, 0.01, 0.1),
        step_weight_norm=weight_norm(step, decay=decay),
        **rows,
    )


def make_weights(scale: float) -> WeightHistogram:
    level = np.array([0.5, 0.9, 0.99, 1.0])
    return WeightHistogram(np.linspace(-1, 1, 11), np.ones(10, dtype=np.int64), level, scale * level)


def make_run(run: str, *, error: float, train_error: float = 0.02, loss: float = 0.05, **info: Any) -> Run:
    final = {"train_loss": loss, "train_error": train_error, "test_loss": 0.3, "test_error": error}
    large, decay = "large" in run, "nowd" not in run
    record = {"run": run, **make_network(run), "title": run, "data": "cifar10", "parameters": 1000, "final": final}
    record |= {"status": "finished", "note": "", "num_classes": 10, "input_size": 32, "steps": 100}
    optimizer = "adam" if "adam" in run else "sgd"
    record |= {
        "train": {"optimizer": optimizer, "batch_size": 512 if large else 32, "weight_decay": 5e-4 * decay, "lr": 0.1}
    }
    scale = (0.1 if large else 0.02) if decay else (0.1 if large else 0.2)
    return Run(run, record | info, make_history(run), "abcdef0123456789", make_weights(scale))


def make_line(sharp_at_0: float, sharp_at_1: float) -> Line:
    """Rise as parabolas of given curvature on the outer sides of 0 and 1."""
    alpha = np.linspace(-0.5, 1.5, 41)
    loss = 0.02 + np.where(alpha < 0, sharp_at_0 * alpha**2, np.where(alpha > 1, sharp_at_1 * (alpha - 1) ** 2, 0.0))
    return Line(alpha, loss, loss, loss, loss, np.ones(41, dtype=bool))


def make_profile(radius: float, *, rows: int = 10, noise: float = 0.01) -> Profile:
    """Rise by 0.1 at `radius` along every row; rows differ by a factor of about 1 + `noise`."""
    alpha = np.linspace(-1, 1, 41)
    factors = 1 + noise * np.linspace(-1, 1, rows)
    loss = 0.01 + 0.1 * factors[:, None] * (alpha / radius) ** 2
    done = np.ones(loss.shape, dtype=bool)
    names = tuple(f"direction {i}" for i in range(rows))
    return Profile(alpha, loss, loss, loss, loss, done, 0.2 * factors / radius**2, names)


def sharp(error: float, **numbers: Any) -> dict[str, Any]:
    record = {"test_error": error, "curvature": 2.0, "level_radius": 0.2, "convex_share": 0.8, "level_width": 0.4}
    return record | {"nonconvex_level": 4.0, "beyond": []} | numbers


def make_sharpness() -> dict[str, Any]:
    runs = {run: sharp(error, level_radius=0.5 - 3 * error, curvature=40 * error) for run, error in ERRORS.items()}
    runs["resnet110"] |= {"level_width": 0.37}
    runs["resnet20_noshort"] |= {"convex_share": 0.7, "nonconvex_level": 3.5}
    runs["resnet56_noshort"] |= {"convex_share": 0.2, "nonconvex_level": 2.0}
    runs["resnet110_noshort"] |= {"convex_share": 0.1, "nonconvex_level": 1.8}
    for k in (2, 4, 8):
        for suffix, share in (("", 0.8), ("_noshort", 0.2)):
            runs[f"wrn56_{k}{suffix}"] |= {"convex_share": share + 0.02 * k}
    runs["resnet20"] |= {"nonconvex_level": None, "beyond": ["nonconvex_level"]}
    return {"runs": runs}


def saddle(x: Any, y: Any) -> Any:
    return 2 + 3 * np.cos(4 * x) + y**2


def make_map(ratio: float, *, loss: Any = bowl) -> tuple[HessianMap, Plane]:
    """Return a map whose ratio is `ratio` in the bowl and 0.8 elsewhere, and the plane it lies on."""
    plane = make_plane(21, 21, loss=loss)
    axis = np.linspace(-0.8, 0.8, 5)
    low = np.full((5, 5), -10 * ratio)
    if loss is saddle:
        low[np.abs(axis) < 0.3] = -8.0  # cos is concave about 0
    zero = np.zeros((5, 5))
    flags = np.ones((5, 5), dtype=bool)
    return HessianMap(axis, axis, np.full((5, 5), 10.0), low, zero, zero, zero.astype(np.int64), flags, flags), plane


def make_path(captured: tuple[float, float], *, axes: str = "pca") -> Trajectory:
    """Run straight down, then across, then with a right angle into the minimum."""
    epoch = np.arange(EPOCHS + 1)
    x = np.where(epoch <= 10, 10.0 - epoch, np.where(epoch <= DROP, 0.0, 0.0))
    y = np.where(epoch <= 10, 2.0, np.where(epoch <= DROP, 2.0 + 0.1 * (epoch - 10), 3.0))
    x = np.where(epoch > DROP, 0.05 * (epoch - DROP), x)
    alignment = np.where(epoch <= 10, 0.95, 0.2)
    alignment[0] = np.nan
    share = np.array(captured)
    return Trajectory(epoch, x, y, np.hypot(x, y), alignment, share, share, (str(DROP),), axes)


def make_probe(run: str) -> dict[str, Any]:
    chaotic = run in ("resnet56_noshort", "resnet110_noshort")
    losses = {"train_mode": [2.3, 2.4, 2.35], "eval_mode": [2.3, 2.3, 2.3]}
    gradient = {"loss": 5.0, "mean_cosine": 0.01 if chaotic else 0.7, "std_cosine": 0.1, "mean_norm": 1.0}
    points = [{"x": x, "y": y, **gradient} for x, y in ((0.75, 0.0), (-0.75, 0.0), (0.0, 0.75), (0.0, -0.75))]
    n = 1000
    expected = float(np.sqrt(2 / (np.pi * n)))
    return {
        "run": run,
        "status": "finished",
        "initialization": {"li": losses, "glorot": losses},
        "gradients": {"batch_size": 32, "batches": 8, "centre": {**gradient, "loss": 0.1}, "far": points},
        "random_cosine": {
            "pairs": 100,
            "dimensions": n,
            "mean": expected,
            "standard_error": 0.002,
            "expected": expected,
            "filter_normalized_mean": 0.04,
            "filter_normalized_standard_error": 0.003,
            "effective_dimensions": 400.0,
        },
        "condition": {"slice": 2.0, "slice_eigenvalues": [1.0, 2.0], "full_lower_bound": 500.0, "krylov": 20},
    }


def make_slices(*, spread: float = 1.0) -> SliceCurvatures:
    """Return a spectrum from -1 to 9 and averages about its mean."""
    values = np.linspace(-1, 9, 101)
    drawn = 4 + spread * np.linspace(-1, 1, 201)
    return SliceCurvatures(values, drawn, drawn, drawn - 3.5, drawn + 0.5)


def make_results(**changes: Any) -> Results:
    """Return results of a made-up preset in which every claim holds."""
    runs = {run: make_run(run, error=error) for run, error in ERRORS.items()}
    runs |= {run: make_run(run, error=0.9, train_error=0.9, loss=2.3) for run in DEEP}
    runs[CONTROL] = make_run(CONTROL, error=0.06)
    radii = {run: 0.5 - 3 * error for run, error in VGG9_ERRORS.items()}
    # along other directions the best one looks sharpest
    wrong = {run: 0.02 + error for run, error in VGG9_ERRORS.items()}
    cuts = {run: {"filter": make_profile(radii[run]), "layer": make_profile(wrong[run], rows=1)} for run in EIGHT}
    for run in EIGHT:
        cuts[run]["none"] = cuts[run]["none_enlarged"] = make_profile(wrong[run] / 2, rows=1)
    maps = {"resnet56": make_map(0.02), "resnet56_noshort": make_map(0.03, loss=saddle), "densenet121": make_map(0.005)}
    start = {"train_loss": 2.3, "weighted_p_value": 0.4, "slices_nonconvex": 0.6, "negative_fraction": 0.1}
    start |= {"mean_curvature": [4.01, 4.0], "mean_curvature_error": 0.04, "slices_beyond_spectrum": 0.0}
    start |= {"condition": {"slice_median": 15.0, "full": 500.0}}
    end = {**start, "train_loss": 0.01, "slices_nonconvex": 0.0, "condition": {"slice_median": 15.0, "full": 1.4e13}}
    slices = {"status": "finished", "parameters": 321, **end, "start": start}
    rows = ("one layer x 10, next / 10", "filters x 100")
    differences = {"function": 1e-4, "filter": 1e-4, "none": 3.0}
    scale: dict[str, Any] = {"status": "finished", "reason": ""}
    scale |= {f"{kind}_difference": dict.fromkeys(rows, value) for kind, value in differences.items()}
    probed = (*RESNETS, "vgg9")
    lines = {"vgg9_nowd_interpolation": make_line(2.0, 20.0), "vgg9_interpolation": make_line(20.0, 2.0)}
    paths = {run: make_path((0.5, 0.2)) for run in EIGHT}
    paths["vgg9_random"] = make_path((1e-4, 1e-4), axes="random")
    manifest = {"train": 2048, "test": 512, "classes": list("0123456789"), "shape": [3, 32, 32], "sha256": "1" * 64}
    found = Results(
        preset="made-up",
        title="Synthetic",
        regime="shortened",
        data={"cifar10": manifest},
        planned_runs={run: {"data": "cifar10", "title": run} for run in runs},
        planned_planes={name: name for name in maps},
        planned_lines={name: "vgg9" for name in lines},
        runs=runs,
        planes={name: Surface(name, {"run": name, "status": "finished"}, plane) for name, (_, plane) in maps.items()},
        lines={name: Cut(name, {"run": "vgg9", "status": "finished"}, line) for name, line in lines.items()},
        planned={"probe": {run: run for run in probed}},
        profiles={run: Cuts(run, {"run": run, "status": "finished"}, item) for run, item in cuts.items()},
        hessians={name: Eigenvalues(name, {"status": "finished"}, item) for name, (item, _) in maps.items()},
        trajectories={name: Descent(name, {"status": "finished"}, path, None) for name, path in paths.items()},
        invariances={"vgg9": Cuts("vgg9", scale, {})},
        slices={"small": Slices("small", slices, make_slices())},
        probes={run: make_probe(run) for run in probed},
        sharpness=make_sharpness(),
    )
    return replace(found, **changes)


def with_sharpness(results: Results, run: str, **numbers: Any) -> Results:
    """Return `results` with other sharpness numbers of one run."""
    runs = results.sharpness["runs"]
    return replace(results, sharpness={"runs": {**runs, run: {**runs[run], **numbers}}})


def with_run(results: Results, run: str, **changes: Any) -> Results:
    """Return `results` with another run of this name."""
    return replace(results, runs={**results.runs, run: make_run(run, **changes)})


def with_history(results: Results, run: str, **arrays: Any) -> Results:
    """Return `results` with other rows in the history of one run."""
    done = results.runs[run]
    return replace(results, runs={**results.runs, run: replace(done, history=replace(done.history, **arrays))})


def with_cut(results: Results, run: str, cut: str, profile: Profile) -> Results:
    """Return `results` with another profile of one run."""
    old = results.profiles[run]
    return replace(results, profiles={**results.profiles, run: replace(old, cuts={**old.cuts, cut: profile})})


def without(results: Results, kind: str, *names: str) -> Results:
    """Return `results` without some results of a kind."""
    left = {name: item for name, item in getattr(results, kind).items() if name not in names}
    changes: dict[str, Any] = {kind: left}
    return replace(results, **changes)
