"""Stage `sharpness`: the numbers drawn from every profile and plane, and their rank correlation with test error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.files import read_json, write_json
from lossatlas.results import Plane, Profile
from lossatlas.shape.convexity import FLAT
from lossatlas.shape.grids import Grid, NoCentreError, common_grid, grid_of, thinned
from lossatlas.shape.groups import correlations, has_learnt, spread
from lossatlas.shape.measures import MEASURES, Numbers, plane_numbers, profile_numbers
from lossatlas.shape.radii import RISE
from lossatlas.stages.job import Job

CUT = "filter"  # the only normalization that compares runs


class _AbsentError(Exception):
    """A study that says nothing about a run; the text is the reason."""


def _folders(job: Job, kind: str) -> dict[str, Path]:
    """Return the inputs of a kind by name."""
    found = (role.partition("/") for role in sorted(job.inputs))
    return {name: job.inputs[f"{kind}/{name}"] for group, _, name in found if group == kind}


def _study(kind: str, folder: Path | None, run: str) -> Path:
    """Return the folder of the study of a run, where it is finished."""
    if folder is None:
        raise _AbsentError(f"no {kind} of that name")
    about = read_json(folder / f"{kind}.json")
    if about["run"] != run:
        raise _AbsentError(f"the {kind} of that name is of {about['run']}")
    if about["status"] != "finished":
        raise _AbsentError(str(about["reason"]))
    return folder


def _of_profile(folder: Path | None, run: str) -> Numbers:
    file = _study("profile", folder, run) / f"{CUT}.h5"
    if not file.is_file():
        raise _AbsentError(f"the profile has no cut {CUT!r}")
    profile = Profile.load(file)
    try:
        found = profile_numbers(profile)
    except NoCentreError as error:
        raise _AbsentError(f"the profile's {error}") from None
    return Numbers({**found.values, "profile_range": float(np.abs(profile.alpha).max())}, found.unknown)


def _of_plane(folder: Path | None, run: str, *, grid: Grid | None) -> Numbers:
    plane = Plane.load(_study("plane", folder, run) / "plane.h5")
    assert grid is not None  # there is a plane, so the planes have a grid
    try:
        kept = thinned(plane, grid)
    except ValueError as error:
        raise _AbsentError(f"the plane's {error}") from None
    try:
        found = plane_numbers(kept)
    except NoCentreError as error:
        raise _AbsentError(f"the plane's {error}") from None
    return Numbers({**found.values, "grid": grid_of(kept).size, "grid_computed": grid_of(plane).size}, found.unknown)


def _common_grid(planes: Mapping[str, Path]) -> Grid | None:
    """Return the grid on which the planes of all runs are measured."""
    grids = []
    for name, folder in planes.items():
        try:
            grids.append(grid_of(Plane.load(_study("plane", folder, name) / "plane.h5")))
        except _AbsentError:
            continue
    return common_grid(grids)


def _run(name: str, run: Mapping[str, Any], folders: Mapping[str, Mapping[str, Path]], grid: Grid | None) -> Any:
    """Return a run's numbers.

    Raises:
        _AbsentError: there is neither a profile nor a plane.
    """
    values: dict[str, Any] = dict.fromkeys((*MEASURES, "curvature_std", "plane_train_loss_centre"), math.nan)
    unknown: dict[str, str] = {}
    missing = []
    for kind, measured in (("profile", _of_profile), ("plane", partial(_of_plane, grid=grid))):
        try:
            found = measured(folders[kind].get(name), name)
        except _AbsentError as absent:
            missing.append(str(absent))
        else:
            values |= found.values
            unknown |= found.unknown
    if len(missing) == 2:
        raise _AbsentError("; ".join(missing))
    learnt = has_learnt(run["final"]["train_loss"], run["num_classes"])
    known = {"test_error": run["final"]["test_error"], "learnt": learnt, "missing": missing, "unknown": unknown}
    # what is not reached within the range, which JSON holds as null
    return {**values, **known, "beyond": [measure for measure in MEASURES if values[measure] == math.inf]}


def compute(job: Job) -> None:
    """Write `sharpness.json`: the measures of each run, their spread over seeds and their correlations.

    A profile and a plane belong to the run of the same name. All planes are measured on `grid`, the coarsest of their
    grids; those that cannot be thinned to it give no numbers. Runs that diverged, and runs with neither a profile nor a
    plane, are left out with the reason; a run with one of them has no numbers (null) of the other. `unknown` says per
    measure why it is null, `beyond` names those that are null because they are not reached within the range. Runs that
    have not `learnt` do not count in the correlations.
    """
    folders = {kind: _folders(job, kind) for kind in ("train", "profile", "plane")}
    grid = _common_grid(folders["plane"])
    runs: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name, folder in folders["train"].items():
        run = read_json(folder / "run.json")
        try:
            if run["status"] != "finished":
                raise _AbsentError(f"{run['status']} ({run['note']})")
            runs[name] = _run(name, run, folders, grid)
        except _AbsentError as absent:
            left_out[name] = str(absent)
    groups = correlations(runs)
    about = {
        "runs": runs,
        "left_out": left_out,
        "grid": None if grid is None else grid.size,
        "spread": spread(runs),
        "correlation": groups["all"],
        "correlation_groups": groups,
        "measures": {name: asdict(measure) for name, measure in MEASURES.items()},
        "level": RISE,
        "tolerance": FLAT,
        "status": "finished",
        "reason": "",
    }
    write_json(job.out / "sharpness.json", about)
