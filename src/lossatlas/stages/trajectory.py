"""Stage `trajectory`: the path of a training on a plane of its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.files import read_json, write_json
from lossatlas.landscape.trajectories import learning_rate_drops, trajectory
from lossatlas.landscape.weightpath import StraightPathError
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import VALUES, History, Plane, Trajectory
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, engine_settings, load_subject

_SHOWN = ("axes", "centred", "span", "exclude_1d")


def _files(run: Path) -> list[Path]:
    """Return the files of a run's checkpoints in order, the last weights at the end."""
    return [*sorted(run.glob("epoch_*.safetensors")), run / "final.safetensors"]


def _epochs(files: list[Path]) -> list[int]:
    """Return the number of epochs behind each checkpoint; only the last file does not have it in its name."""
    return [*(int(file.stem.removeprefix("epoch_")) for file in files[:-1]), load_checkpoint(files[-1]).epoch or 0]


def _enough(job: Job) -> list[Path]:
    files, run = _files(job.inputs["run"]), job.settings["run"]
    if len(files) < 3:
        raise ValueError(
            f"run {run} kept {len(files)} checkpoint(s), a trajectory needs at least 3; "
            f"set runs.{run}.train.checkpoint_every (for example to 1) and train it again"
        )
    return files


def _skipped(job: Job, drops: tuple[str, ...], note: str) -> tuple[Trajectory, Plane]:
    """Return results of the usual shapes without a value."""
    points = job.settings["points"]
    epochs = np.asarray(_epochs(_files(job.inputs["run"])))
    columns = ("path_x", "path_y", "distance", "alignment")
    path: dict[str, Any] = {name: np.full(len(epochs), np.nan) for name in columns}
    path |= {"captured": np.full(2, np.nan), "spectrum": np.full(len(epochs) - 1, np.nan)}
    grid: dict[str, Any] = {name: np.full((points, points), np.nan) for name in VALUES}
    grid |= {name: np.full(points, np.nan) for name in ("x", "y")}
    return (
        Trajectory(epoch=epochs, **path, drops=drops, axes=job.settings["axes"], note=note),
        Plane(**grid, computed=np.zeros((points, points), dtype=bool), note=note),
    )


def _followed(job: Job, subject: Subject, drops: tuple[str, ...]) -> tuple[Trajectory, Plane]:
    files = _enough(job)
    names = (*_SHOWN, "seed", "margin", "points")
    found = trajectory(
        subject.model,
        files,
        subject.train,
        subject.test,
        epochs=_epochs(files),
        drops=drops,
        journal=job.work / "points.jsonl",
        **{name: job.settings[name] for name in names},
        **engine_settings(job),
    )
    for name, direction in zip(("x", "y"), found.directions, strict=True):
        direction.save(job.out / f"direction_{name}.safetensors")
    return found.trajectory, found.plane


def _add_numbers(job: Job, result: Trajectory) -> None:
    """Complete `trajectory.json` with what the path's projection captures."""
    captured = [float(share) for share in result.captured]
    numbers = {
        "captured": captured,
        "variation_in_two": sum(captured),
        "spectrum": [float(share) for share in result.spectrum],
        "checkpoints": len(result.epoch),
        "drops": [int(epoch) for epoch in result.drops],
        **{name: job.settings[name] for name in _SHOWN},
    }
    path = job.out / "trajectory.json"
    write_json(path, {**read_json(path), **numbers})


def compute(job: Job) -> None:
    """Write `trajectory.h5`, `plane.h5`, `trajectory.json` and the two directions."""
    subject = load_subject(job)
    drops = learning_rate_drops(History.load(job.inputs["run"] / "history.h5"))
    reason = f"the run diverged ({subject.run['note']})" if subject.diverged else ""
    if not reason:
        try:
            result, surface = _followed(job, subject, drops)
        except StraightPathError as error:
            reason = str(error)
    if reason:
        result, surface = _skipped(job, drops, reason)
    result.save(job.out / "trajectory.h5")
    surface.save(job.out / "plane.h5")
    account(job, subject, name="trajectory", note=result.note, skipped=bool(reason))
    _add_numbers(job, result)
