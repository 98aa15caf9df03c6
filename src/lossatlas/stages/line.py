"""Stage `line`: the loss along a random direction, or from one run's final weights to another's."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossatlas.files import read_json
from lossatlas.landscape.directions import Direction, direction_between, random_direction
from lossatlas.landscape.surfaces import line
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import VALUES, Line
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, axis, engine_settings, load_subject


def _direction(job: Job, subject: Subject) -> Direction:
    state = subject.model.state_dict()
    if "end" in job.inputs:
        end = load_checkpoint(job.inputs["end"] / "final.safetensors")
        return direction_between(state, end.state, span=job.settings["span"])
    return random_direction(
        state,
        seed=job.settings["seed"],
        normalization=job.settings["normalization"],
        exclude_1d=job.settings["exclude_1d"],
    )


def compute(job: Job) -> None:
    """Write `line.h5`, `line.json` and the direction."""
    subject = load_subject(job)
    alpha = axis(job.settings["alpha"])
    ends = [read_json(job.inputs["end"] / "run.json")] if "end" in job.inputs else []
    diverged = [run for run in (subject.run, *ends) if run["status"] == "diverged"]
    if diverged:
        note = f"{diverged[0]['run']} diverged ({diverged[0]['note']})"
        empty: dict[str, Any] = {name: np.full(len(alpha), np.nan) for name in VALUES}
        result = Line(alpha=alpha, **empty, computed=np.zeros(len(alpha), dtype=bool), note=note)
    else:
        direction = _direction(job, subject)
        direction.save(job.out / "direction.safetensors")
        result = line(
            subject.model,
            subject.train,
            subject.test,
            direction=direction,
            alpha=alpha,
            journal=job.work / "points.jsonl",
            **engine_settings(job),
        )
    result.save(job.out / "line.h5")
    account(job, subject, name="line", note=result.note, skipped=bool(diverged))
