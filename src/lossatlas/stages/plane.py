"""Stage `plane`: the loss about a run's weights on a plane of two random directions, exact or estimated."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.surfaces import plane
from lossatlas.results import VALUES, History, Plane
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, axis, engine_settings, load_subject, random_axes


def _skipped(job: Job, subject: Subject) -> Plane:
    x, y = axis(job.settings["x"]), axis(job.settings["y"])
    empty: dict[str, Any] = {name: np.full((len(x), len(y)), np.nan) for name in VALUES}
    note = f"the run diverged ({subject.run['note']})"
    return Plane(x=x, y=y, **empty, computed=np.zeros((len(x), len(y)), dtype=bool), note=note)


def _mapped(job: Job, subject: Subject) -> Plane:
    settings, axes = job.settings, random_axes(job, subject)
    for name, direction in zip(("x", "y"), axes, strict=True):
        direction.save(job.out / f"direction_{name}.safetensors")
    return plane(
        subject.model,
        subject.train,
        subject.test,
        directions=axes,
        x=axis(settings["x"]),
        y=axis(settings["y"]),
        sampling=None if settings["sampling"] is None else Sampling(**settings["sampling"]),
        journal=job.work / "points.jsonl",
        **engine_settings(job),
    )


def _moment(job: Job, epoch: int | None) -> dict[str, Any]:
    """Return the epoch of the weights with the run's loss and error after it; nothing for the final weights."""
    if epoch is None:
        return {}
    history = History.load(job.inputs["run"] / "history.h5")
    (row,) = np.flatnonzero(history.epoch == epoch)
    numbers = {"run_test_error": history.test_error[row], "run_train_loss": history.train_loss[row]}
    return {"epoch": epoch, **{name: float(value) for name, value in numbers.items()}}


def compute(job: Job) -> None:
    """Write `plane.h5`, `plane.json` and the two directions."""
    epoch = job.settings["epoch"]
    subject = load_subject(job, epoch=epoch)
    result = _skipped(job, subject) if subject.diverged else _mapped(job, subject)
    result.save(job.out / "plane.h5")
    sampling = {} if job.settings["sampling"] is None else {"sampling": job.settings["sampling"]}
    moment = {"epoch": epoch} if epoch is not None and subject.diverged else _moment(job, epoch)
    account(job, subject, name="plane", note=result.note, skipped=subject.diverged, **sampling, **moment)
