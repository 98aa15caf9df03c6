"""Artefacts of a preset made up from closed forms, written as the stages write them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.files import write_json
from lossatlas.report.artefacts import Results
from lossatlas.report.networks import NETWORKS, network_named
from lossatlas.results import SAMPLED, History, Plane, SampledPlane

ERRORS = {"resnet20": 0.08, "resnet20_noshort": 0.09, "resnet56": 0.06, "resnet56_noshort": 0.133, "vgg9": 0.07}
SETTINGS = {"optimizer": "sgd", "lr": 0.1, "batch_size": 128, "weight_decay": 5e-4, "epochs": 12}


def bowl(x: Any, y: Any) -> Any:
    """Rise along x, then along y: not symmetric under a transposition."""
    return 0.02 + 3 * x**2 + 0.6 * (y - 0.1) ** 2


def make_plane(nx: int = 11, ny: int = 9, *, loss: Any = bowl, reach: float = 1.0) -> Plane:
    x, y = np.linspace(-reach, reach, nx), np.linspace(-reach, reach, ny)
    values = np.asarray(loss(x[:, None], y[None, :]), dtype=np.float64)
    accuracy = np.clip(1 - values / 10, 0, 1)
    return Plane(x, y, values, accuracy, values + 0.1, accuracy, np.ones(values.shape, dtype=bool))


def as_sampled(plane: Plane, *, error: float = 0.01, n: int = 96) -> SampledPlane:
    """The same values as estimates with one standard error."""
    shape = plane.train_loss.shape
    more: dict[str, Any] = {
        name: np.full(shape, n) if name.endswith("_n") else np.full(shape, error) for name in SAMPLED
    }
    return SampledPlane(**{item.name: getattr(plane, item.name) for item in fields(plane)}, **more)


def make_history(*, epochs: int = 12, final: float = 0.05, diverged: bool = False) -> History:
    epoch = np.arange(epochs + 1)
    loss = final + (2.3 - final) * np.exp(-epoch / 3)
    if diverged:
        loss = np.where(epoch > 3, np.nan, loss)
    rows = {"train_loss": loss, "train_error": loss / 3, "test_loss": loss + 0.1, "test_error": loss / 3 + 0.02}
    steps = np.arange(1, 4 * epochs + 1)
    return History(
        epoch=epoch,
        learning_rate=np.full(epochs + 1, 0.1),
        weight_norm=np.ones(epochs + 1),
        step=steps,
        step_learning_rate=np.full(len(steps), 0.1),
        step_weight_norm=np.ones(len(steps)),
        status="diverged" if diverged else "finished",
        **rows,
    )


def make_network(name: str) -> dict[str, Any]:
    """Return family and options of the network that a run's name promises; a ResNet-20 where it promises none."""
    family, options = NETWORKS[network_named(name) or "resnet20"]
    return {"family": family, "options": dict(options)}


def make_run(folder: Path, name: str, *, diverged: bool = False, data: str = "digits", **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    make_history(diverged=diverged).save(folder / "history.h5")
    error = ERRORS.get(name, 0.1)
    final = {"train_loss": 0.02, "train_error": error / 2, "test_loss": 0.3, "test_error": error}
    record = {
        "run": name,
        **make_network(name),
        "title": name,
        "data": data,
        "parameters": 1000,
        "train": SETTINGS,
        "seed": 0,
        "status": "diverged" if diverged else "finished",
        "note": "loss not finite in epoch 4" if diverged else "",
        "final": dict.fromkeys(final) if diverged else final,
        "steps": 48,
        "weights_hash": "0" * 64,
        "num_classes": 10,
        "input_size": 8,
    }
    write_json(folder / "run.json", record | changes)
    write_json(folder / "stage.json", {"kind": "train", "name": name, "stage_hash": "abcdef0123456789", "settings": {}})
    return folder


def make_surface(folder: Path, run: str, plane: Plane | None, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"run": run, "status": "finished", "reason": "", "center_train_loss": None}
    record |= {"run_test_error": 0.1, "run_train_loss": 0.02, "run_title": run}
    record |= {"samples_train": 1000, "samples_test": 100}
    if plane is None:
        record |= {"status": "skipped", "reason": "the run diverged"}
    else:
        plane.save(folder / "plane.h5")
        centre = plane.train_loss[len(plane.x) // 2, len(plane.y) // 2]
        record |= {"center_train_loss": float(centre), "run_train_loss": float(centre)}
    write_json(folder / "plane.json", record | changes)
    write_json(folder / "stage.json", {"kind": "plane", "name": run, "stage_hash": "fedcba9876543210", "settings": {}})
    return folder


def make_data(folder: Path, name: str = "digits") -> Path:
    record = {
        "name": name,
        "classes": list("0123456789"),
        "train": 1437,
        "test": 360,
        "shape": [1, 8, 8],
        "sha256": "1" * 64,
    }
    write_json(folder / "manifest.json", record)
    return folder


def make_preset(root: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return settings and inputs of a small preset: finished, diverged and absent runs, a skipped and an odd plane."""

    def chaos(x: Any, y: Any) -> Any:
        return np.exp(4 + 9 * np.sin(7 * x + 3 * y) * np.cos(5 * y)) * (x**2 + y**2) + 0.2

    runs = ["resnet20", "resnet20_noshort", "resnet56", "resnet56_noshort", "resnet110_noshort", "vgg9", "resnet110"]
    planes: dict[str, Plane | None] = dict.fromkeys(("resnet20", "resnet56", "vgg9"), make_plane())
    planes |= {"resnet56_noshort": make_plane(15, 15, loss=chaos), "resnet110_noshort": None}
    settings = {
        "preset": "made-up",
        "title": "Synthetic <results>",
        "regime": "embedded",
        "datasets": {"digits": "digits"},
        "runs": {run: {"data": "digits", "title": run} for run in runs},
        "planes": {name: {"run": name} for name in planes},
        "lines": {},
    }
    inputs = {"data/digits": make_data(root / "data")}
    for run in runs[:-1]:
        inputs[f"train/{run}"] = make_run(root / "train" / run, run, diverged=run == "resnet110_noshort")
    for name, plane in planes.items():
        inputs[f"plane/{name}"] = make_surface(root / "plane" / name, name, plane)
    return settings, inputs


def changed(results: Results, name: str, **info: Any) -> Results:
    """Return `results` with other entries in the `run.json` of one run."""
    run = results.runs[name]
    return replace(results, runs={**results.runs, name: replace(run, info={**run.info, **info})})
