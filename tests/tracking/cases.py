"""Result files as the stages publish them."""

import numpy as np

from lossatlas.files import write_json, write_text
from lossatlas.results import History

HASH = "ab" * 32
STAGES = (("data", "digits"), ("train", "resnet20"), ("plane", "resnet20-near"))


def history(*, epochs=4, steps=2500):
    rows = np.arange(epochs + 1)
    rate = np.full(epochs + 1, 0.1)
    rate[0] = np.nan
    return History(
        epoch=rows,
        train_loss=2.3 / (rows + 1.0),
        train_error=0.9 / (rows + 1.0),
        test_loss=2.4 / (rows + 1.0),
        test_error=0.8 / (rows + 1.0),
        learning_rate=rate,
        weight_norm=10.0 + rows,
        step=np.arange(1, steps + 1),
        step_learning_rate=np.full(steps, 0.1),
        step_weight_norm=np.linspace(10.0, 14.0, steps),
    )


def write_stage(workspace, kind, name, *, stage_hash=HASH, preset="default", settings=None):
    folder = workspace.artifacts(preset, kind, name)
    settings = settings or {"model": {"depth": 20, "shortcuts": True}, "rates": [0.1, 0.01], "note": None, "empty": {}}
    stage = {"kind": kind, "name": name, "preset": preset, "stage_hash": stage_hash, "settings": settings}
    write_json(folder / "stage.json", stage | {"inputs": {"data": "cd" * 32}, "versions": {"torch": "2.15.0"}})
    return folder


def write_train(workspace, name="resnet20", *, status="finished", **options):
    folder = write_stage(workspace, "train", name, **options)
    final = {"train_loss": 0.46, "train_error": 0.18, "test_loss": 0.48, "test_error": 0.16}
    run = {"run": name, "family": "resnet", "title": "ResNet-20", "data": "digits", "parameters": 272474, "seed": 3}
    run |= {"status": status, "note": "", "steps": 2500, "weights_hash": "ef" * 32, "train": {"epochs": 4}}
    write_json(folder / "run.json", run | {"final": final if status == "finished" else None})
    history().save(folder / "history.h5")
    write_text(folder / "final.safetensors", "weights")
    return folder


def write_report(workspace, *, text="page", preset="default"):
    folder = workspace.reports(preset)
    write_text(folder / "report.html", text)
    write_text(folder / "figures" / "surfaces" / "resnet20.png", "image")
    write_text(folder / "tables" / "errors.csv", "a,b")
    checks = [{"name": name, "verdict": word} for name, word in (("a", "passed"), ("b", "failed"), ("c", "not run"))]
    write_json(folder / "checks.json", checks + [{"name": "d", "passed": True}])
