"""What the stages about a trained network share: the trained network, its data and the account of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from lossatlas.data import NORMALIZATIONS, DataSet, normalize
from lossatlas.engine.device import usable_device
from lossatlas.engine.evaluator import Evaluator, Examples
from lossatlas.files import read_json, write_json
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.models.checkpoint import Checkpoint, load_checkpoint
from lossatlas.results import Floats
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job


@dataclass(frozen=True)
class Subject:
    """A trained network and the examples its loss is mapped on."""

    run: Mapping[str, Any]
    model: nn.Module
    train: Examples
    test: Examples | None

    @property
    def diverged(self) -> bool:
        """Whether the run has no minimizer to look at."""
        return bool(self.run["status"] != "finished")


def axis(settings: Mapping[str, Any]) -> Floats:
    """Return the coordinates of an axis: equally spaced, ends included, an exact zero where one belongs."""
    values = np.linspace(settings["min"], settings["max"], settings["points"])
    step = (settings["max"] - settings["min"]) / max(settings["points"] - 1, 1)
    values[np.abs(values) < 1e-9 * step] = 0.0
    return values


def load_subject(job: Job, *, epoch: int | None = None) -> Subject:
    """Read a run's weights, the final ones or those after an epoch, and the examples its settings name."""
    usable_device(job.settings["device"])
    run = read_json(job.inputs["run"] / "run.json")
    data = load_checked(job)
    constants = NORMALIZATIONS[run["train"]["normalization"]]

    def examples(key: str, images: Tensor, labels: Tensor) -> Examples:
        n = job.settings[key]
        if n is not None and n > len(labels):
            raise ValueError(f"{key} = {n} of {job.name}: the data set has {len(labels)}; use null for all")
        return normalize(images[:n], constants), labels[:n]

    last = epoch in (None, run["train"]["epochs"]) or run["status"] != "finished"
    weights = "final.safetensors" if last else f"epoch_{epoch:04d}.safetensors"
    checkpoint = load_checkpoint(job.inputs["run"] / weights)
    require_fit(checkpoint, data)
    return Subject(
        run=run,
        model=checkpoint.build(),
        train=examples("train_examples", data.train_images, data.train_labels),
        test=examples("test_examples", data.test_images, data.test_labels) if "test_examples" in job.settings else None,
    )


def require_fit(checkpoint: Checkpoint, data: DataSet) -> None:
    """Refuse data that a network was not made for: many compute on images of any size, and give losses of no meaning.

    Raises:
        ValueError: images of another size than the checkpoint's, or another number of classes.
    """
    if checkpoint.model is None:
        return  # which network it is remains to be said, and `build` asks for it
    made_for = checkpoint.model["input_size"], checkpoint.model["num_classes"]
    size, classes = data.image_size[0], data.num_classes
    if made_for != (size, classes):
        raise ValueError(
            f"the network of {checkpoint.path.name} is for images of {made_for[0]} pixels and {made_for[1]} classes, "
            f"data set {data.name} has images of {size} pixels and {classes} classes; name the data that the run was "
            "trained on, or train it again on these (`dvc repro`)"
        )


def random_axes(job: Job, subject: Subject) -> tuple[Direction, Direction]:
    """Return the two random directions of the settings' seed and normalization: those of every plane with the same."""
    settings, state = job.settings, subject.model.state_dict()
    x, y = (
        random_direction(
            state,
            seed=settings["seed"],
            stream=stream,
            normalization=settings["normalization"],
            exclude_1d=settings["exclude_1d"],
        )
        for stream in ("direction_x", "direction_y")
    )
    return x, y


def engine_settings(job: Job) -> dict[str, Any]:
    """Return what the evaluation functions take from the settings."""
    return {
        "batch_size": job.settings["batch_size"],
        "device": usable_device(job.settings["device"]),
        "label": job.name,
        "executor": job.executor,
        **job.settings.get("evaluation", {}),
    }


def account(job: Job, subject: Subject, *, name: str, note: str, skipped: bool, **more: Any) -> None:
    """Write `<name>.json`: what was mapped, and the checkpoint's own loss as evaluated without any folding.

    Args:
        job: the stage.
        subject: what was mapped.
        name: of the file.
        note: why values are missing or not finite.
        skipped: whether there was nothing to map.
        **more: what else the file says.
    """
    center = None
    if not skipped:
        engine = {key: value for key, value in engine_settings(job).items() if key in ("batch_size", "device")}
        engine |= {"fold": False, "fuse": False, "channels_last": False}
        plain = Evaluator(subject.model, {"train": subject.train}, **engine)
        plain.load(subject.model.state_dict())
        center = plain.measure("train").loss
    about = {
        "run": subject.run["run"],
        "run_title": subject.run["title"],
        "family": subject.run["family"],
        "run_test_error": subject.run["final"]["test_error"],
        "run_train_loss": subject.run["final"]["train_loss"],
        "status": "skipped" if skipped else "finished",
        "reason": note,
        "center_train_loss": center,
        "samples_train": len(subject.train[1]),
        "samples_test": 0 if subject.test is None else len(subject.test[1]),
        **more,
    }
    write_json(job.out / f"{name}.json", about)
