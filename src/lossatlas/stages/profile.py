"""Stage `profile`: the loss along several random directions from a run's final weights, and the curvature there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossatlas.files import read_json, write_json
from lossatlas.landscape.profiles import profile
from lossatlas.results import VALUES, Profile
from lossatlas.shape.radii import curvature
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, axis, engine_settings, load_subject


def _skipped(cut: Mapping[str, Any], note: str) -> Profile:
    alpha, repeats = axis(cut["alpha"]), cut["repeats"]
    shape = (repeats, len(alpha))
    empty: dict[str, Any] = {name: np.full(shape, np.nan) for name in VALUES}
    rows = tuple(f"direction {row}" for row in range(repeats))
    unknown = np.full(repeats, np.nan)
    return Profile(alpha=alpha, **empty, computed=np.zeros(shape, dtype=bool), curvature=unknown, rows=rows, note=note)


def _cut(job: Job, subject: Subject, name: str, cut: Mapping[str, Any]) -> Profile:
    engine = engine_settings(job)
    return profile(
        subject.model,
        subject.train,
        subject.test,
        alpha=axis(cut["alpha"]),
        repeats=cut["repeats"],
        seed=job.settings["seed"],
        normalization=cut["normalization"],
        exclude_1d=job.settings["exclude_1d"],
        journal=job.work / f"{name}.jsonl",
        **{**engine, "label": f"{engine['label']} {name}"},
    )


def _numbers(cut: Mapping[str, Any], found: Profile) -> dict[str, Any]:
    bent = curvature(found)
    missing = bent.directions - bent.finite
    lost = (
        f"the curvature is not finite along {missing} of {bent.directions} directions"
        if missing and found.computed.any()
        else ""
    )
    return {
        "normalization": cut["normalization"],
        "repeats": cut["repeats"],
        "mean_curvature": bent.mean if math.isfinite(bent.mean) else None,
        "std_curvature": bent.std if math.isfinite(bent.std) else None,
        "finite_curvatures": bent.finite,
        "note": "; ".join(filter(None, [found.note, lost])),
    }


def compute(job: Job) -> None:
    """Write `<cut>.h5` for each cut, and `profile.json` with the mean curvature of each.

    It is null unless the curvature is finite along every direction.
    """
    subject = load_subject(job)
    note = f"the run diverged ({subject.run['note']})" if subject.diverged else ""
    numbers = {}
    for name, cut in job.settings["cuts"].items():
        found = _skipped(cut, note) if subject.diverged else _cut(job, subject, name, cut)
        found.save(job.out / f"{name}.h5")
        numbers[name] = _numbers(cut, found)
    notes = {name: cut["note"] for name, cut in numbers.items() if cut["note"] and not subject.diverged}
    reason = note or "; ".join(f"{name}: {text}" for name, text in notes.items())
    account(job, subject, name="profile", note=reason, skipped=subject.diverged)
    about = job.out / "profile.json"
    write_json(about, {**read_json(about), "cuts": numbers})
