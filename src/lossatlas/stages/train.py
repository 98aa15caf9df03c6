"""Stage `train`: initialize and train one network, publish its weights and curves."""

from __future__ import annotations

import csv
import io
from typing import Any

from torch import nn

from lossatlas.engine.device import usable_device
from lossatlas.files import write_json, write_text
from lossatlas.models import build, check_model, parameter_count
from lossatlas.models.checkpoint import save_checkpoint
from lossatlas.models.initialization import initialize
from lossatlas.models.weights import weights_hash
from lossatlas.randomness import generator
from lossatlas.results import History
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.training.histogram import weight_histogram
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe

CURVES = ("epoch", "train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")


def recipe_of(settings: dict[str, Any]) -> Recipe:
    """Return the recipe that the settings of a training (a `TrainSettings` as plain values) describe."""
    options = {key: value for key, value in settings["schedule_options"].items() if value is not None}
    return Recipe(**{**settings, "schedule_options": options})


def _curves(history: History) -> str:
    """Return the per-epoch values as CSV, floats with every digit."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CURVES)
    writer.writerows(zip(*(getattr(history, name).tolist() for name in CURVES), strict=True))
    return stream.getvalue()


def compute(job: Job) -> None:
    """Write the weights that are kept, `history.h5`, `weights.h5`, `run.json`, `metrics.json` and `curves.csv`."""
    run = job.settings["run"]
    device = usable_device(job.settings["device"])
    data = load_checked(job)
    network = {
        "family": run["model"]["family"],
        "options": check_model(run["model"]["family"], run["model"]["options"]),
        "num_classes": data.num_classes,
        "input_size": data.image_size[0],
    }
    sizes = {key: network[key] for key in ("num_classes", "input_size")}
    model = build(network["family"], **sizes, **network["options"])
    recipe = recipe_of(run["train"])
    initialize(model, scheme=recipe.initialization, generator=generator(run["seed"], "init"))
    newest, state = job.out / "final.safetensors", job.work / "state.pt"
    if not newest.exists():  # someone removed the weights kept so far: they can only be had from the start
        state.unlink(missing_ok=True)

    def keep(epoch: int, trained: nn.Module) -> None:
        names = [f"epoch_{epoch:04d}.safetensors"] if epoch < recipe.epochs else []
        for name in (*names, newest.name):
            save_checkpoint(job.out / name, trained, epoch=epoch, **network)

    history, seconds = train(
        model,
        data,
        recipe,
        seed=run["seed"],
        keep=keep,
        state=state,
        device=device,
        on_epoch=job.on_epoch,
        label=job.name,
        provenance={"run": job.name, "seed": run["seed"], "weights": weights_hash(model.state_dict())},
    )
    history.save(job.out / "history.h5")
    weight_histogram(model).save(job.out / "weights.h5")
    write_text(job.out / "curves.csv", _curves(history))
    finished = history.status == "finished"
    names = ("train_loss", "train_error", "test_loss", "test_error")
    final = {name: float(getattr(history, name)[-1]) if finished else None for name in names}
    count = parameter_count(model)
    write_json(job.out / "metrics.json", {**final, "parameters": count, "status": history.status})
    about = {
        "run": job.name,
        **network,
        "title": run["model"]["title"],
        "data": run["data"],
        "parameters": count,
        "train": run["train"],
        "seed": run["seed"],
        "status": history.status,
        "note": history.note,
        "final": final,
        "steps": len(history.step),
        "weights_hash": weights_hash(model.state_dict()),
    }
    write_json(job.out / "run.json", about)
    job.facts["epoch_seconds"] = seconds
