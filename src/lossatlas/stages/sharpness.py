"""Stage `sharpness`: the numbers drawn from every profile and plane, and their rank correlation with test error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.files import read_json, write_json
from lossatlas.landscape.sharpness import (
    LEVEL,
    MEASURES,
    RELATIVE_TOLERANCE,
    NoCentreError,
    correlations,
    has_learnt,
    plane_numbers,
    profile_numbers,
    spread,
)
from lossatlas.results import Plane, Profile
from lossatlas.stages.job import Job

CUT = "filter"  # the only normalization that compares runs


def _folders(job: Job, kind: str) -> dict[str, Path]:
    """Return the inputs of a kind by name."""
    found = (role.partition("/") for role in sorted(job.inputs))
    return {name: job.inputs[f"{kind}/{name}"] for group, _, name in found if group == kind}


def _of_profile(folder: Path) -> dict[str, Any]:
    found = Profile.load(folder / f"{CUT}.h5")
    return {**profile_numbers(found), "directions": len(found.rows), "profile_range": float(np.abs(found.alpha).max())}


def _of_plane(folder: Path) -> dict[str, Any]:
    return plane_numbers(Plane.load(folder / "plane.h5"))


def _reason(kind: str, folder: Path | None, run: str) -> str:
    """Return why the study of a kind says nothing about a run, empty if it does."""
    if folder is None:
        return f"no {kind} of that name"
    about = read_json(folder / f"{kind}.json")
    if about["run"] != run:
        return f"the {kind} of that name is of {about['run']}"
    if about["status"] != "finished":
        return str(about["reason"])
    if kind == "profile" and not (folder / f"{CUT}.h5").is_file():
        return f"the profile has no cut {CUT!r}"
    return ""


def _measure(name: str, folders: Mapping[str, Mapping[str, Path]]) -> tuple[dict[str, Any], list[str]]:
    """Return a run's numbers, and why some are missing."""
    numbers: dict[str, Any] = {}
    missing = []
    for kind, measured in (("profile", _of_profile), ("plane", _of_plane)):
        folder = folders[kind].get(name)
        reason = _reason(kind, folder, name)
        if folder is not None and not reason:
            try:
                numbers |= measured(folder)
            except NoCentreError as error:
                reason = f"the {kind}'s {error}"
        missing += [reason] if reason else []
    return numbers, missing


def compute(job: Job) -> None:
    """Write `sharpness.json`: the measures of each run, their spread over seeds and their correlations.

    A profile and a plane belong to the run of the same name. Runs that diverged, and runs with neither, are left out
    with the reason; a run with one of them has no numbers (null) of the other. `beyond` names the numbers that are null
    because they are not reached within the range. Runs that have not `learnt` do not count in the correlations.
    """
    folders = {kind: _folders(job, kind) for kind in ("train", "profile", "plane")}
    runs: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name, folder in folders["train"].items():
        run = read_json(folder / "run.json")
        if run["status"] != "finished":
            left_out[name] = f"{run['status']} ({run['note']})"
            continue
        numbers, missing = _measure(name, folders)
        if numbers:
            empty = dict.fromkeys((*MEASURES, "curvature_std", "plane_train_loss_centre"), math.nan)
            final = run["final"]
            known = {
                "test_error": final["test_error"],
                "learnt": has_learnt(final["train_loss"], run["num_classes"]),
                "missing": missing,
            }
            runs[name] = {**empty, **numbers, **known}
        else:
            left_out[name] = "; ".join(missing)
    groups = correlations(runs)
    about = {
        "runs": {name: {**numbers, "beyond": _beyond(numbers)} for name, numbers in runs.items()},
        "left_out": left_out,
        "spread": spread(runs),
        "correlation": groups["all"],
        "correlation_groups": groups,
        "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        "level": LEVEL,
        "tolerance": RELATIVE_TOLERANCE,
        "status": "finished",
        "reason": "",
    }
    write_json(job.out / "sharpness.json", about)


def _beyond(numbers: Mapping[str, Any]) -> list[str]:
    """Return the measures that are not reached within the range, which JSON holds as null."""
    return [name for name in MEASURES if numbers[name] == math.inf]
