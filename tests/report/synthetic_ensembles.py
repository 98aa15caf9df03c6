"""Made-up curves, planes, cycles and ensembles in which every claim of Garipov et al. holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
from synthetic_claims import make_run
from synthetic_report import make_history, make_network, make_plane

from lossatlas.report.artefacts import Connection, Cycles, Results, ThreePoints
from lossatlas.results import CurveLosses

# percent, per budget and of two and three budgets pooled
ERRORS = {"ind": ([10.0, 10.4], 9.0, 8.6), "sse": ([9.8, 9.9], 9.2, 8.9), "fge": ([9.2, 9.4], 8.8, 8.5)}
MEMBERS = {"ind": 1, "sse": 5, "fge": 3}
BARRIERS = {"segment": 2.0, "chain": 0.1, "bezier": 0.05}


def make_ensemble(network: str, data: str, method: str, errors: Sequence[float], *more: float) -> dict[str, Any]:
    """Return an `ensemble.json` of errors in percent: of each budget alone, and of two, three, ... of them pooled."""
    alone, members = [error / 100 for error in errors], MEMBERS[method]
    several = [alone[0], *(error / 100 for error in more)]
    score = {"loss": 0.4, "calibration": 0.03}
    diverse = {"disagreement": 0.05, "divergence": 0.02}
    pooled = [
        {"budgets": k, "members": k * members, "error": error, **score, **diverse} for k, error in enumerate(several, 1)
    ]
    schedule = {
        "ind": {"name": "piecewise_linear", "lr": 0.05, "epochs": 25},
        "sse": {"name": "cosine_cycles", "lr": 0.05, "cycles": 5, "epochs": 25},
        "fge": {"name": "fge_triangle", "lr": 0.01, "low": 5e-4, "cycle_epochs": 2, "epochs": 5, "start": 20},
    }[method]
    budgets = [
        {"name": f"{network}{seed}", "epochs": 25, "shared_epochs": 20 * (method == "fge"), "seed": i}
        for i, seed in zip(range(len(pooled)), ("", "_seed1", "_seed2"), strict=False)
    ]
    return {
        "status": "finished",
        "reason": "",
        "run": network,
        **make_network(network),
        "title": network,
        "data": data,
        "network": network,
        "method": method,
        "budget_epochs": 25,
        "budgets": [{**budget, "members": members} for budget in budgets],
        "members": [
            {"budget": i, "name": "m", "epoch": 5, "error": alone[0] + 0.01 * i, "loss": 0.5}
            for i in range(len(pooled))
            for _ in range(members)
        ],
        "one_budget": {"errors": alone, "mean": fmean(alone), "spread": stdev(alone) if len(alone) > 1 else None},
        "pooled": pooled,
        "averaged": {"errors": [error - 0.01 for error in alone], "members": [members] * len(alone)}
        if method == "fge"
        else None,
        "schedule": {**schedule, "steps_per_epoch": 10},
        "train": {"lr": 0.05},
    }


def skipped(reason: str = "run vgg16 diverged", **info: Any) -> dict[str, Any]:
    """Return the account of a study that was not done."""
    nothing = {"one_budget": {"errors": []}, "pooled": [], "members": [], "budgets": [], "averaged": None}
    return {"status": "skipped", "reason": reason, **nothing, **info}


def make_curve(network: str, kind: str, *, barrier: float | None, data: str = "cifar10", **info: Any) -> Connection:
    """Return a curve whose training loss with refreshed statistics rises by `barrier` above its ends."""
    t, bends = np.linspace(0, 1, 5), 0 if kind == "segment" else 1
    names = ("interpolated", "refreshed") if kind == "segment" else ("refreshed",)
    rise = np.sin(np.pi * t) * (barrier or 0.0)
    loss = np.stack([0.05 + rise] * len(names))
    accuracy, done = np.clip(0.95 - loss / 10, 0, 1), np.ones(loss.shape, dtype=bool)
    losses = CurveLosses(t, loss, accuracy, loss + 0.1, accuracy, done, 4 * t, 4 - 4 * t, 4 * t, names)
    row = {"barrier_train_loss": barrier, "train_loss_ends": [0.05, 0.05], "train_loss_max": 0.05 + (barrier or 0.0)}
    row |= {"test_error_ends": [0.1, 0.104], "test_error_min": 0.099, "test_error_max": 0.12}
    record = {"status": "finished", "reason": "", "run": network, "start": network, "end": f"{network}_seed1"}
    record |= {"kind": kind, "bends": bends, **make_network(network), "data": data, "num_classes": 10}
    record |= {"straight_distance": 4.0, "length": 4.0 * (1 + bends / 2), "rows": {name: dict(row) for name in names}}
    return Connection(f"{network}_{kind}", record | info, losses, None)


def with_connections(results: Results, *networks: str, data: str = "cifar10") -> Results:
    """Return `results` with curves, planes, cycles and ensembles of some networks (VGG-16 if none is named)."""
    networks = networks or ("vgg16",)
    seeds = [f"{network}{seed}" for network in networks for seed in ("", "_seed1")]
    runs = {name: make_run(name, error=0.1, data=data) for name in seeds}
    curves = {
        f"{network}_{kind}": make_curve(network, kind, barrier=barrier, data=data)
        for network in networks
        for kind, barrier in BARRIERS.items()
    }
    ensembles = {
        f"{network}-{data}-{method}": make_ensemble(network, data, method, errors, *more)
        for network in networks
        for method, (errors, *more) in ERRORS.items()
    }
    account = {"status": "finished", "reason": "", "data": data}
    planes = {f"{network}_optima": ThreePoints(network, account, make_plane()) for network in networks}
    fges = {name: Cycles(name, account, make_history()) for name in seeds}
    plan = {"curve": {name: item.info["run"] for name, item in curves.items()}}
    plan |= {"plane3": {name: item.name for name, item in planes.items()}, "fge": {name: name for name in seeds}}
    plan |= {"ensemble": {name: item["run"] for name, item in ensembles.items()}}
    return replace(
        results,
        runs={**results.runs, **runs},
        planned_runs={**results.planned_runs, **{name: {"data": data, "title": name} for name in seeds}},
        planned={**results.planned, **plan},
        curves=curves,
        planes3=planes,
        fges=fges,
        ensembles=ensembles,
    )


def with_ensemble(results: Results, name: str, **info: Any) -> Results:
    """Return `results` with other entries in one `ensemble.json`."""
    return replace(results, ensembles={**results.ensembles, name: {**results.ensembles[name], **info}})
