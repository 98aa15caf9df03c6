"""Results of every study of Li et al., made up from closed forms, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from synthetic_report import make_network

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Cut, Cuts, Descent, Eigenvalues, Results, Run, Slices, Surface
from lossatlas.report.variants import VARIANTS
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

ABSENT, BROKEN = ("vgg9_adam_large", "wrn56_8", "resnet56_adam_large_nowd"), "vgg9_adam_large_nowd"
EPOCHS, DROPS = 12, (6, 9, 11)
SAMPLES = {"samples_train": 256, "samples_test": 128}
INVARIANCE_ROWS = ("as trained", "one layer x 10, next / 10", "filters x 100")


def steepness(run: str) -> float:
    """Return how sharp a made-up minimizer is."""
    chaotic = 6.0 if "noshort" in run else 1.0
    return chaotic * (1 + 0.8 * ("_large" in run) + 0.4 * ("_nowd" in run) + 0.2 * ("_adam" in run))


def study_plane(run: str, nx: int = 15, ny: int = 13, *, seed: int = 0) -> Plane:
    x, y = np.linspace(-1, 1, nx), np.linspace(-1, 1, ny)
    sharp, deep = steepness(run), 110 if "110" in run else 56 if "56" in run else 20
    radius = x[:, None] ** 2 + 0.7 * y[None, :] ** 2
    loss = 0.02 + 4 * sharp * radius**1.2
    if "noshort" in run and deep > 20:
        rough = np.sin(7 * x[:, None] + seed) * np.cos(9 * y[None, :] + 2 * seed)
        loss = 0.2 + loss * np.exp(2.2 * rough * (deep / 56))
    accuracy = np.clip(1 - loss / 6, 0.1, 1)
    return Plane(x, y, loss, accuracy, loss + 0.1, accuracy - 0.02, np.ones_like(loss, dtype=bool))


def study_profile(run: str, *, rows: int = 1, reach: float = 1.0, scale: float = 1.0, seed: int = 0) -> Profile:
    alpha = np.linspace(-reach, reach, 41)
    draws = np.random.default_rng(seed)
    factors = scale * steepness(run) * (1 + 0.12 * draws.standard_normal((rows, 1)))
    loss = 0.01 + factors * 5 * alpha**2
    accuracy = np.clip(1 - loss / 4, 0.1, 1)
    names = tuple(f"direction {i}" for i in range(rows))
    values = (loss, accuracy, loss + 0.15, accuracy - 0.03, np.ones_like(loss, dtype=bool))
    return Profile(alpha, *values, curvature=10 * factors[:, 0], rows=names)


def study_history(run: str) -> History:
    epoch, per_epoch = np.arange(EPOCHS + 1), 4 if "_large" in run else 32
    sharp = steepness(run)
    loss = 0.02 * sharp + 2.3 * np.exp(-epoch / (2 + sharp / 4))
    error = 0.05 * sharp / 2 + 0.85 * np.exp(-epoch / 2)
    step = np.arange(1, EPOCHS * per_epoch + 1)
    rate = 0.1 * 0.1 ** np.searchsorted(DROPS, np.arange(1, EPOCHS + 1) - 1, side="right")
    step_rate = np.repeat(rate, per_epoch)
    growth = (0.7 if "_large" in run else 1.0) * 0.5 if "_nowd" in run else -0.6 * (0.7 if "_large" in run else 1.0)
    norm = np.concatenate(([24.0], 24 + 10 * growth * np.tanh(np.cumsum(step_rate) * (8 / per_epoch) / 3)))
    return History(
        epoch=epoch,
        train_loss=loss,
        train_error=error,
        test_loss=loss + 0.12,
        test_error=error + 0.04,
        learning_rate=np.concatenate(([np.nan], rate)),
        weight_norm=norm[::per_epoch],
        step=step,
        step_learning_rate=step_rate,
        step_weight_norm=norm[1:],
    )


def study_weights(run: str) -> WeightHistogram:
    width = 0.05 / steepness(run) * (2 if "_nowd" in run else 1)
    edge = np.linspace(-1, 1, 1001)
    middle = (edge[1:] + edge[:-1]) / 2
    count = np.round(1e5 * np.exp(-np.abs(middle) / width) / width / 500).astype(np.int64)
    level = np.array([0.5, 0.9, 0.99, 1.0])
    quantile = np.array([0.69, 2.3, 4.6, 12.0]) * width
    return WeightHistogram(edge, count, level, quantile)


def study_run(name: str, **info: Any) -> Run:
    history, variant = study_history(name), VARIANTS.get(name)
    train = {"optimizer": variant.optimizer if variant else "sgd", "lr": 0.1, "epochs": EPOCHS}
    train |= {
        "batch_size": 168 if variant and variant.large else 16,
        "weight_decay": variant.weight_decay if variant else 5e-4,
    }
    final = {key: float(getattr(history, key)[-1]) for key in ("train_loss", "train_error", "test_loss", "test_error")}
    record = {"run": name, **make_network(name), "title": name, "data": "digits", "train": train, "num_classes": 10}
    record |= {"status": "finished", "note": "", "final": final}
    return Run(name, record | info, history, "abcdef0123456789", study_weights(name))


def study_trajectory(axes: str = "pca", *, seed: int = 0) -> tuple[Trajectory, Plane]:
    epoch = np.arange(EPOCHS + 1)
    rate = np.select([epoch < 6, epoch < 9], [1.0, 0.3], 0.1)
    reach = 8.0 if axes == "pca" else 0.004
    time = np.concatenate(([0], np.cumsum(rate[1:])))
    along = 1 - time / time[-1]
    draws = np.random.default_rng(seed)
    path_x = along * reach + 0.02 * reach * draws.standard_normal(len(epoch)) * along
    path_y = 0.35 * reach * np.sin(np.pi * along) + 0.03 * reach * draws.standard_normal(len(epoch)) * along
    captured = (0.832, 0.094)
    if axes == "random":
        captured = (2.3e-4, 1.1e-4)
    if axes == "random_and_start":
        path_y, path_x, captured = along, path_y, (1.2e-4, 0.61)
    span = [
        np.linspace(p.min() - 0.1 * np.ptp(p), p.max() + 0.1 * np.ptp(p), n) for p, n in ((path_x, 25), (path_y, 21))
    ]
    x, y = span
    loss = 0.01 + 2.4 * (x[:, None] / np.ptp(x)) ** 2 + 1.5 * (y[None, :] / np.ptp(y)) ** 2
    accuracy = np.clip(1 - loss / 6, 0.1, 1)
    plane = Plane(x, y, loss, accuracy, loss, accuracy, np.ones_like(loss, dtype=bool))
    alignment = np.concatenate(([np.nan], np.full(EPOCHS, 0.7)))
    found = Trajectory(
        epoch=epoch,
        path_x=path_x,
        path_y=path_y,
        distance=8 * along,
        alignment=alignment,
        captured=np.array(captured),
        spectrum=np.array([0.832, 0.094, 0.074]),
        drops=tuple(str(drop) for drop in DROPS),
        axes=axes,
    )
    return found, plane


def study_hessian(run: str, nx: int = 9, ny: int = 7) -> HessianMap:
    x, y = np.linspace(-1, 1, nx), np.linspace(-1, 1, ny)
    radius = np.hypot(x[:, None] - 0.1, y[None, :])
    largest = 20 + 100 * radius
    ratio = np.clip(0.003 + 0.2 * radius**2 * steepness(run), 0, 1.4)
    converged = radius < 1.2
    residual = np.full(radius.shape, 1e-3)
    computed = np.ones(radius.shape, dtype=bool)
    products = np.full(radius.shape, 60)
    return HessianMap(x, y, largest, -ratio * largest, residual, residual, products, converged, computed)


def study_slices() -> SliceCurvatures:
    draws = np.random.default_rng(0)
    eigenvalue = np.sort(np.concatenate([draws.gamma(0.2, 1.5, 420), -draws.gamma(0.2, 0.08, 180)]))
    weights = draws.chisquare(1, (2, 1500, 600))
    measured, weighted = (weights @ eigenvalue) / weights.sum(axis=2)
    low, high = np.sort(np.stack([measured[:400], weighted[:400]]), axis=0)
    return SliceCurvatures(eigenvalue, measured, weighted, low - 0.05, high)


def study_probe(run: str) -> dict[str, Any]:
    deep = "noshort" in run and "20" not in run
    depth = next((int(part) for part in ("158", "110", "56", "20") if part in run), 9)
    start = {
        scheme: {"train_mode": [2.3 + factor * depth / 60 + 0.02 * i for i in range(3)], "eval_mode": [2.3] * 3}
        for scheme, factor in (("li", 0.2), ("torch", 0.02), ("glorot", 0.05))
    }
    far = [{"x": x, "y": y, "mean_cosine": 0.02 if deep else 0.4} for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    return {"run": run, "initialization": start, "gradients": {"centre": {"mean_cosine": 0.6}, "far": far}}


def study_sharpness(runs: dict[str, Run]) -> dict[str, Any]:
    draws = np.random.default_rng(1)
    measured = {}
    for name, run in runs.items():
        sharp = steepness(name) * (1 + 0.1 * draws.standard_normal())
        measured[name] = {
            "test_error": run.final("test_error"),
            "curvature": 12 * sharp**2,
            "doubling_radius": 0.1 / sharp,
            "level_radius": None if "110" in name else 0.2 / sharp,
            "convex_share": min(1.0, 0.8 / sharp),
            "nonconvex_level": 8 / sharp,
            "level_width": 0.6 / sharp,
        }
    measures = ("curvature", "doubling_radius", "level_radius", "convex_share", "nonconvex_level", "level_width")
    found = {"spearman": 0.81, "runs": len(runs), "p_value": 0.002}
    about = {
        "curvature": {"title": "made-up curvature", "unit": "nats per turn", "larger": "sharper"},
        "level_radius": {
            "title": "radius at which the mean training loss has risen by 0.1",
            "unit": "",
            "larger": "flatter",
        },
    }
    return {"runs": measured, "correlation": dict.fromkeys(measures, found), "measures": about}


def study_results() -> Results:
    """Return a report's results with something for every figure; a run diverged and another was not run."""
    names = [
        name for name in catalogue.TITLES if name not in ("vgg9_adam_large", "wrn56_8", "resnet56_adam_large_nowd")
    ]
    runs = {name: study_run(name) for name in names}
    runs[BROKEN] = study_run(BROKEN, status="diverged", final={})
    alive = [name for name in names if name != BROKEN]
    account = {name: {"run": name, "status": "finished", "reason": "", **SAMPLES} for name in names}
    planes = {
        name: Surface(name, account[name], study_plane(name)) for name in alive if not name.startswith("resnet158")
    }
    for i, name in enumerate(catalogue.FIGURE17[1:3], 1):
        planes[name] = Surface(name, account["resnet56_noshort"], study_plane("resnet56_noshort", seed=i))
    profiles = {}
    for name in (name for name in alive if name in VARIANTS):
        cuts = {"filter": study_profile(name, rows=10)}
        if name.startswith("vgg9"):
            cuts |= {"none": study_profile(name, scale=80), "layer": study_profile(name, scale=3)}
            cuts["none_enlarged"] = study_profile(name, scale=80, reach=0.1)
        profiles[name] = Cuts(name, account[name], cuts)
    trajectories = {}
    for name in (name for name in alive if name.startswith("vgg9")):
        trajectories[name] = Descent(name, account[name], *study_trajectory(seed=len(name)))
    for name, axes in (("vgg9_random", "random"), ("vgg9_random_and_start", "random_and_start")):
        trajectories[name] = Descent(name, account["vgg9"], *study_trajectory(axes))
    lines = {}
    for name, *pair in (*catalogue.FIGURE2, *catalogue.FIGURE14):
        alpha = np.linspace(-0.5, 1.5, 41)
        loss = 0.02 + 3 * steepness(pair[0]) * np.abs(alpha * (alpha - 1)) ** 1.5 * (1 + alpha)
        accuracy = np.clip(1 - loss / 3, 0.1, 1)
        line = Line(alpha, loss, accuracy, loss + 0.2, accuracy - 0.04, np.ones(41, dtype=bool))
        skipped = "resnet56_adam_large_nowd" in pair  # this run is absent
        lines[name] = Cut(name, account[pair[0]], None if skipped else line)
    rescaled = [study_profile("vgg9").train_loss[0] * factor for factor in (1, 3, 0.2)]
    base = study_profile("vgg9", rows=3, seed=4)
    same = [base.train_loss[0]] * 3
    invariances = {
        kind: Profile(**{**vars(base), "train_loss": np.stack(losses), "rows": INVARIANCE_ROWS})
        for kind, losses in (("filter", same), ("none", rescaled))
    }
    info = {**account["vgg9"], "filter_difference": {"filters x 100": 2e-6}, "none_difference": {"filters x 100": 3.1}}
    hessians = {name: Eigenvalues(name, account[name], study_hessian(name)) for name in catalogue.FIGURE7[:2]}
    probed = [run for kind in catalogue.DEPTHS.values() for run in kind.values()]
    slices = Slices("small", {"reason": "", "weighted_p_value": 0.42, "negative_fraction": 0.3}, study_slices())
    return Results(
        preset="made-up",
        title="Every study",
        regime="embedded",
        data={"digits": {}},
        planned_runs={name: {"data": "digits", "title": name} for name in (*names, "mine")},
        planned_planes={name: surface.info["run"] for name, surface in planes.items()},
        planned_lines={name: cut.info["run"] for name, cut in lines.items()},
        runs=runs,
        planes=planes,
        lines=lines,
        planned={"trajectory": {name: str(item.info["run"]) for name, item in trajectories.items()}},
        profiles=profiles,
        hessians=hessians,
        trajectories=trajectories,
        invariances={"vgg9": Cuts("vgg9", info, invariances)},
        slices={"small": slices},
        probes={run: study_probe(run) for run in probed},
        sharpness=study_sharpness({name: runs[name] for name in alive}),
    )
