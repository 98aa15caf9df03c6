"""Curves, planes through three points, cycles and ensembles made up from closed forms, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from synthetic_report import make_network

from lossatlas.report.artefacts import Connection, Cycles, Results, Run, ThreePoints
from lossatlas.results import CurveLosses, History, Plane
from lossatlas.training.schedules import cosine_cycles, fge_triangle, piecewise_linear

NETWORKS = ("vgg16", "preresnet164", "wrn28_10")
SIDE = 20.0  # L2 distance between any two minimizers
BEND = (10.0, 17.0)  # of every chain and Bezier curve, in their plane
PER_EPOCH, EPOCHS, START, CYCLE = 8, 25, 20, 2
RATES = {"vgg16": (0.05, 0.01), "preresnet164": (0.1, 0.05), "wrn28_10": (0.1, 0.05)}  # of the budget, of the cycles
LOW = 5e-4
REFRESH = {"examples": 1024, "batch_size": 128, "layers": 3}
SAMPLES = {"samples_train": 256, "samples_test": 128}
SNAPSHOTS = (5, 10, 15, 20, 25)
METHODS = ("ind", "sse", "fge")


def base_of(name: str) -> str:
    return next((network for network in NETWORKS if name.startswith(network)), "vgg16")


def account(run: str, **more: Any) -> dict[str, Any]:
    record = {"status": "finished", "reason": "", "run": run, "run_title": run, "num_classes": 10, "data": "digits"}
    return record | make_network(base_of(run)) | more


def height(x: Any, y: Any) -> Any:
    """Loss that is low along a valley from one minimizer over the bend to another, and high between them."""
    radius = np.hypot(x - SIDE / 2, y - 5.0)
    return 0.02 + 0.05 * np.abs(radius - np.hypot(SIDE / 2, 5.0)) ** 1.7


def modes_plane(nx: int = 19, ny: int = 15, *, scale: float = 1.0) -> Plane:
    x, y = np.linspace(-0.2 * SIDE, 1.2 * SIDE, nx), np.linspace(-4.0, 21.0, ny)
    loss = scale * height(x[:, None], y[None, :])
    accuracy = np.clip(1 - loss / 6, 0.1, 1)
    return Plane(x, y, loss, accuracy, loss + 0.15, accuracy - 0.04, np.ones_like(loss, dtype=bool))


def modes_path(kind: str) -> dict[str, Any]:
    t = np.linspace(0, 1, 61)
    bend = np.array(BEND)
    if kind == "bezier":
        place = 2 * (t * (1 - t))[:, None] * bend + (t**2)[:, None] * np.array([SIDE, 0.0])
    else:
        place = np.where(t[:, None] < 0.5, 2 * t[:, None] * bend, bend + (2 * t[:, None] - 1) * ([SIDE, 0.0] - bend))
    x, y = place.T.tolist()
    return {"name": kind, "kind": "curve", "x": x, "y": y, "off_plane": [0.0] * 61, "labels": [f"{a:.2f}" for a in t]}


def run_path(run: str) -> dict[str, Any]:
    x, y = [-2.0, 0.0, 5.0, 20.0, 14.0, 8.0], [14.0, 0.0, -2.0, 0.0, 9.0, 16.0]
    off = [7.5, 0.0, 3.25, 0.0, 2.0, 0.0]
    return {"name": run, "kind": "run", "x": x, "y": y, "off_plane": off, "labels": [0, *SNAPSHOTS]}


def modes_plane3(stem: str, what: str, plane: Plane | None = None, **more: Any) -> ThreePoints:
    """Return the plane through three minimizers, a curve's ends and its bend, or three snapshots."""
    third = f"{stem}_seed2" if what == "optima" else f"bend 1 of {stem}_{what}"
    names = [stem, f"{stem}_seed1", third]
    places = [(0.0, 0.0), (SIDE, 0.0), BEND]
    path: dict[str, Any] | None = None if what == "optima" else modes_path(what)
    if what == "sse":
        path = run_path(f"{stem}_sse")
        names = [f"{stem}_sse epoch {epoch}" for epoch in SNAPSHOTS[::2]]
        places = [(path["x"][i], path["y"][i]) for i in (1, 3, 5)]
    points = [{"x": x, "y": y, "train_loss": 0.02, "test_loss": 0.2} for x, y in places]
    run = f"{stem}_sse" if what == "sse" else stem
    info = account(run, statistics="refreshed", refresh=REFRESH, names=names, points=points, path=path, **SAMPLES)
    return ThreePoints(f"{stem}_{what}", info | more, plane or modes_plane())


def modes_curve(stem: str, kind: str, *, points: int = 61, barrier: float = 3.0, **more: Any) -> Connection:
    """Return a curve whose loss rises in the middle: on the segment by `barrier`, on others by a thirtieth of it."""
    t = np.linspace(0, 1, points)
    rows = ("interpolated", "refreshed") if kind == "segment" else ("refreshed",)
    rise = {"segment": barrier, "chain": barrier / 20, "bezier": barrier / 30}[kind]
    loss = np.stack([0.03 + rise * (2.0 if row == "interpolated" else 1.0) * np.sin(np.pi * t) ** 2 for row in rows])
    accuracy = np.clip(0.94 - loss / 5, 0.1, 1)
    length = {"segment": SIDE, "chain": 39.4, "bezier": 27.6}[kind]
    values = (loss, accuracy + 0.04, loss + 0.2, accuracy, np.ones_like(loss, dtype=bool))
    losses = CurveLosses(t, *values, from_start=SIDE * t, from_end=SIDE * (1 - t), arc=length * t, rows=rows)
    info = account(stem, start=stem, end=f"{stem}_seed1", kind=kind, epochs=0 if kind == "segment" else 20)
    errors = {row: 1 - accuracy[i] for i, row in enumerate(rows)}
    info["rows"] = {row: {"test_error_max": float(error.max())} for row, error in errors.items()}
    info |= {"statistics": list(rows), "straight_distance": SIDE, "length": length, "refresh": REFRESH, **SAMPLES}
    return Connection(f"{stem}_{kind}", info | more, losses, None)


def steps_history(rate: list[float], *, epochs: int, error: Any, per_epoch: int = PER_EPOCH) -> History:
    epoch = np.arange(epochs + 1)
    loss = 0.03 + 2.2 * np.exp(-epoch / 4)
    rates = np.array(rate)
    return History(
        epoch=epoch,
        train_loss=loss,
        train_error=loss / 3,
        test_loss=loss + 0.1,
        test_error=np.asarray(error, dtype=np.float64),
        learning_rate=np.concatenate(([np.nan], rates[per_epoch - 1 :: per_epoch])),
        weight_norm=np.ones(epochs + 1),
        step=np.arange(1, len(rates) + 1),
        step_learning_rate=rates,
        step_weight_norm=np.ones(len(rates)),
    )


def modes_run(name: str, *, seed: int = 0, epochs: int = EPOCHS, per_epoch: int = PER_EPOCH) -> Run:
    """Return a run with the schedule that its name says, cosine cycles or piecewise linear."""
    high, total = RATES[base_of(name)][0], epochs * per_epoch
    cycles = "_sse" in name
    schedule = cosine_cycles(lr=high, total=total, cycles=5) if cycles else piecewise_linear(lr=high, total=total)
    error = 0.08 + 0.8 * np.exp(-np.arange(epochs + 1) / 4)
    history = steps_history([schedule(i) for i in range(1, total + 1)], epochs=epochs, error=error, per_epoch=per_epoch)
    options = {"cycles": 5} if cycles else {"flat": 0.5, "end": 0.9, "last": 0.01}
    train = {"optimizer": "sgd", "lr": high, "epochs": epochs, "batch_size": 128, "weight_decay": 5e-4}
    train |= {"schedule": "cosine_cycles" if cycles else "piecewise_linear", "schedule_options": options}
    final = {"train_loss": 0.03, "train_error": 0.01, "test_loss": 0.3, "test_error": 0.08}
    info = account(name, title=base_of(name), seed=seed, train=train, final=final, note="")
    return Run(name, info, history, "abcdef0123456789")


def modes_cycles(stem: str, *, epochs: int = EPOCHS - START, cycle: int = CYCLE, start: int = START) -> Cycles:
    high = RATES[base_of(stem)][1]
    schedule = fge_triangle(high=high, low=LOW, cycle=cycle * PER_EPOCH)
    members = [epoch for epoch in range(1, epochs + 1) if (epoch - cycle // 2) % cycle == 0]
    error = [0.085 if epoch in members else 0.1 + 0.001 * epoch for epoch in range(epochs + 1)]
    history = steps_history([schedule(i) for i in range(1, epochs * PER_EPOCH + 1)], epochs=epochs, error=error)
    distance = [0.0, *(6.0 + 0.8 * epoch - 2.0 * (epoch in members) for epoch in range(1, epochs + 1))]
    info = account(stem, start=start, epochs=epochs, cycle_epochs=cycle, high=high, low=LOW, members=members)
    info |= {"steps_per_epoch": PER_EPOCH, "distance": distance, "start_test_error": error[0]}
    return Cycles(stem, info, history)


def modes_ensemble(
    network: str, data: str, method: str, *, members: int | None = None, budgets: int = 3
) -> dict[str, Any]:
    """Return an ensemble whose error falls with the number of members."""
    count = members or {"ind": 1, "sse": 5, "fge": 3}[method]
    worst = {"ind": 0.085, "sse": 0.095, "fge": 0.088}[method]

    def scores(size: int) -> dict[str, float]:
        error = worst - 0.02 * (1 - 1 / size)
        return {"members": size, "error": error, "loss": 4 * error, "calibration": 0.02}

    pooled = [
        {"budgets": k, **scores(k * count), "disagreement": 0.1, "divergence": 0.1} for k in range(1, budgets + 1)
    ]
    record = account(
        f"{network}_sse" if method == "sse" else network, network=network, method=method, test_examples=360
    )
    return record | {"data": data, "by_size": [scores(i) for i in range(1, count + 1)], "pooled": pooled}


def modes_results(*, hundred: bool = False) -> Results:
    """Return results with something for every figure of curves and ensembles; a plane is missing, a curve was skipped.

    Args:
        hundred: with CIFAR-100 besides CIFAR-10.
    """
    data = {"": "cifar10", "_cifar100": "cifar100"} if hundred else {"": "digits"}
    stems = {f"{network}{ending}": name for ending, name in data.items() for network in NETWORKS}
    runs = {f"{stem}{more}": modes_run(f"{stem}{more}") for stem in stems for more in ("", "_sse")}
    runs |= {f"{stem}_seed{i}": modes_run(f"{stem}_seed{i}", seed=i) for stem in stems for i in (1, 2)}
    curves = {f"{stem}_{kind}": modes_curve(stem, kind) for stem in stems for kind in ("segment", "chain", "bezier")}
    reason = {"status": "skipped", "reason": "vgg16_seed1 diverged"}
    curves["vgg16_chain"] = Connection("vgg16_chain", account("vgg16", kind="chain") | reason, None, None)
    kinds = ("optima", "chain", "bezier", "sse")
    planes3 = {f"{stem}_{what}": modes_plane3(stem, what) for stem in stems for what in kinds}
    gone = "wrn28_10_sse"
    planned = {
        "curve": {name: name.rpartition("_")[0] for name in curves},
        "plane3": {name: str(item.info["run"]) for name, item in planes3.items()},
        "fge": {f"{stem}{more}": f"{stem}{more}" for stem in stems for more in ("", "_seed1")},
    }
    names = [(split.partition("_")[0] if "wrn" not in split else "wrn28_10", kind) for split, kind in stems.items()]
    ensembles = {f"{n}-{kind}-{method}": modes_ensemble(n, kind, method) for n, kind in names for method in METHODS}
    return Results(
        preset="made-up",
        title="Curves and ensembles",
        regime="embedded",
        data={name: {} for name in data.values()},
        planned_runs={run: {"data": stems[run.partition("_s")[0]], "title": base_of(run)} for run in runs},
        planned_planes={},
        planned_lines={},
        runs=runs,
        planes={},
        lines={},
        planned=planned,
        curves=curves,
        planes3={name: item for name, item in planes3.items() if name != gone},
        fges={stem: modes_cycles(stem) for stem in stems},
        ensembles=ensembles,
    )
