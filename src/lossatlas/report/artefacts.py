"""The result files of one preset, read as the report needs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from lossatlas.files import read_json
from lossatlas.results import (
    CurveLosses,
    HessianMap,
    History,
    Line,
    Plane,
    Profile,
    SliceCurvatures,
    Stored,
    Trajectory,
    WeightHistogram,
)

Regime = Literal["embedded", "shortened", "full"]
STUDIES = (
    *("plane", "line", "profile", "hessian", "trajectory", "probe", "invariance", "slices"),
    *("curve", "plane3", "fge", "ensemble"),
)
KINDS = ("data", "train", *STUDIES)
_Result = TypeVar("_Result", bound=Stored)
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Run:
    """One training: `run.json`, its history, the hash of the stage that made it and how its weights are distributed."""

    name: str
    info: Mapping[str, Any]
    history: History
    stage_hash: str
    weights: WeightHistogram | None = None

    @property
    def diverged(self) -> bool:
        """Whether training ended with a loss that is not finite."""
        return bool(self.info["status"] == "diverged")

    @property
    def train(self) -> Mapping[str, Any]:
        """The training settings."""
        settings: Mapping[str, Any] = self.info.get("train") or {}
        return settings

    @property
    def initial_loss(self) -> float | None:
        """The training loss before the first step; None if it is not finite."""
        loss = float(self.history.train_loss[0])
        return loss if math.isfinite(loss) else None

    def final(self, quantity: str) -> float | None:
        """Return `train_loss`, `train_error`, `test_loss` or `test_error` after training; None if diverged."""
        value = (self.info.get("final") or {}).get(quantity)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Surface:
    """One plane: `plane.json` and its values, None where the plane was skipped."""

    name: str
    info: Mapping[str, Any]
    plane: Plane | None


@dataclass(frozen=True)
class Cut:
    """One line: `line.json` and its values, None where the line was skipped."""

    name: str
    info: Mapping[str, Any]
    line: Line | None


@dataclass(frozen=True)
class Cuts:
    """Profiles of one network by the name of the cut, and their account; no cuts where they were skipped."""

    name: str
    info: Mapping[str, Any]
    cuts: Mapping[str, Profile]


@dataclass(frozen=True)
class Eigenvalues:
    """One map of the Hessian's extremes: `hessian.json` and its values, None where it was skipped."""

    name: str
    info: Mapping[str, Any]
    map: HessianMap | None


@dataclass(frozen=True)
class Descent:
    """One path of training: `trajectory.json`, the path and the loss about it; None where it was skipped."""

    name: str
    info: Mapping[str, Any]
    trajectory: Trajectory | None
    plane: Plane | None


@dataclass(frozen=True)
class Slices:
    """Curvatures of slices through a small network: `slices.json` and the values."""

    name: str
    info: Mapping[str, Any]
    curvatures: SliceCurvatures | None


@dataclass(frozen=True)
class Connection:
    """A curve between two minimizers: `curve.json`, its losses (None if skipped), its training (None of a segment)."""

    name: str
    info: Mapping[str, Any]
    losses: CurveLosses | None
    history: History | None


@dataclass(frozen=True)
class ThreePoints:
    """A plane through three points: `plane3.json` and its values, None where it was skipped."""

    name: str
    info: Mapping[str, Any]
    plane: Plane | None


@dataclass(frozen=True)
class Cycles:
    """A run's last epochs in short cycles: `fge.json` and the history, None where it was skipped."""

    name: str
    info: Mapping[str, Any]
    history: History | None


@dataclass(frozen=True)
class Results:
    """What a preset planned and what there is of it.

    Attributes:
        preset: the preset's name.
        title: one line about it.
        regime: how its training compares with the papers': on embedded data, shortened, or in full.
        data: the manifest per data set that is there.
        planned_runs: settings (`data`, `title`) per planned run.
        planned_planes: the run of each planned plane.
        planned_lines: the run of each planned line.
        runs: the runs that are there.
        planes: the planes about final weights that are there.
        lines: the lines that are there.
        planned: per kind of study the run of each planned one ("" where it has none).
        profiles: the one-dimensional cuts that are there; `hessians`, `trajectories`, `invariances`, `slices` likewise.
        probes: `probe.json` of each run that was probed.
        curves: the curves that are there; `planes3` the planes through three points, `fges` the trainings in cycles.
        ensembles: `ensemble.json` of each.
        sharpness: `sharpness.json`, empty if it is not there.
        moments: the planes about weights after an earlier epoch, which `epoch` in their account names.
    """

    preset: str
    title: str
    regime: Regime
    data: Mapping[str, Mapping[str, Any]]
    planned_runs: Mapping[str, Mapping[str, Any]]
    planned_planes: Mapping[str, str]
    planned_lines: Mapping[str, str]
    runs: Mapping[str, Run]
    planes: Mapping[str, Surface]
    lines: Mapping[str, Cut]
    planned: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    profiles: Mapping[str, Cuts] = field(default_factory=dict)
    hessians: Mapping[str, Eigenvalues] = field(default_factory=dict)
    trajectories: Mapping[str, Descent] = field(default_factory=dict)
    invariances: Mapping[str, Cuts] = field(default_factory=dict)
    slices: Mapping[str, Slices] = field(default_factory=dict)
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[str, Connection] = field(default_factory=dict)
    planes3: Mapping[str, ThreePoints] = field(default_factory=dict)
    fges: Mapping[str, Cycles] = field(default_factory=dict)
    ensembles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sharpness: Mapping[str, Any] = field(default_factory=dict)
    moments: Mapping[str, Surface] = field(default_factory=dict)

    def plane_of(self, run: str) -> Surface | None:
        """Return the plane around the end of `run`: the one of the same name, else the first in sorted order."""
        names = sorted(name for name, owner in self.planned_planes.items() if owner == run and name in self.planes)
        names.sort(key=lambda name: name != run)
        return self.planes[names[0]] if names else None

    def title_of_data(self, run: str) -> str:
        """Return the name of the data set of a planned run."""
        return str(self.planned_runs[run]["data"]) if run in self.planned_runs else ""


def read_results(settings: Mapping[str, Any], inputs: Mapping[str, Path]) -> Results:
    """Read every artefact among `inputs`; what was planned in `settings` but is not there stays absent.

    Raises:
        ValueError: the regime is unknown or a file is damaged.
    """
    regime = settings["regime"]
    if regime not in get_args(Regime):
        raise ValueError(f"regime = {regime!r}, expected one of {', '.join(get_args(Regime))}; correct the preset")
    found = _by_kind(inputs)
    planes = _read_each(Surface, Plane, "plane", found["plane"])
    return Results(
        preset=settings["preset"],
        title=settings["title"],
        regime=regime,
        data={name: read_json(folder / "manifest.json") for name, folder in found["data"].items()},
        planned_runs=dict(settings["runs"]),
        planned_planes={name: plan["run"] for name, plan in settings["planes"].items()},
        planned_lines={name: plan["run"] for name, plan in (settings.get("lines") or {}).items()},
        runs={name: _read_run(name, folder) for name, folder in found["train"].items()},
        planes={name: plane for name, plane in planes.items() if "epoch" not in plane.info},
        lines=_read_each(Cut, Line, "line", found["line"]),
        planned=dict(settings.get("planned") or {}),
        profiles={name: _read_cuts(name, folder, "profile") for name, folder in found["profile"].items()},
        hessians=_read_each(Eigenvalues, HessianMap, "hessian", found["hessian"]),
        trajectories={name: _read_descent(name, folder) for name, folder in found["trajectory"].items()},
        invariances={name: _read_cuts(name, folder, "invariance") for name, folder in found["invariance"].items()},
        slices=_read_each(Slices, SliceCurvatures, "slices", found["slices"]),
        probes={name: read_json(folder / "probe.json") for name, folder in found["probe"].items()},
        curves={name: _read_connection(name, folder) for name, folder in found["curve"].items()},
        planes3=_read_each(ThreePoints, Plane, "plane3", found["plane3"]),
        fges={name: _read_cycles(name, folder) for name, folder in found["fge"].items()},
        ensembles={name: read_json(folder / "ensemble.json") for name, folder in found["ensemble"].items()},
        sharpness=read_json(inputs["sharpness"]) if "sharpness" in inputs else {},
        moments={name: plane for name, plane in planes.items() if "epoch" in plane.info},
    )


def _by_kind(inputs: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {kind: {} for kind in KINDS}
    for role, folder in sorted(inputs.items()):
        kind, _, name = role.partition("/")
        if name and kind in found and folder.is_dir():
            found[kind][name] = folder
    return found


def _read_each(
    make: Callable[[str, Mapping[str, Any], _Result | None], _Made],
    result: type[_Result],
    kind: str,
    folders: Mapping[str, Path],
) -> dict[str, _Made]:
    """Read `<kind>.json` of each study of a kind, and `<kind>.h5` where it was finished."""
    made = {}
    for name, folder in folders.items():
        info = read_json(folder / f"{kind}.json")
        made[name] = make(name, info, result.load(folder / f"{kind}.h5") if info["status"] == "finished" else None)
    return made


def _read_run(name: str, folder: Path) -> Run:
    stage = read_json(folder / "stage.json")
    return Run(
        name,
        read_json(folder / "run.json"),
        History.load(folder / "history.h5"),
        str(stage["stage_hash"]),
        WeightHistogram.load(folder / "weights.h5") if (folder / "weights.h5").is_file() else None,
    )


def _read_cuts(name: str, folder: Path, kind: str) -> Cuts:
    info = read_json(folder / f"{kind}.json")
    finished = info["status"] == "finished"
    return Cuts(name, info, {file.stem: Profile.load(file) for file in sorted(folder.glob("*.h5"))} if finished else {})


def _read_descent(name: str, folder: Path) -> Descent:
    info = read_json(folder / "trajectory.json")
    if info["status"] != "finished":
        return Descent(name, info, None, None)
    return Descent(name, info, Trajectory.load(folder / "trajectory.h5"), Plane.load(folder / "plane.h5"))


def _read_connection(name: str, folder: Path) -> Connection:
    info, history = read_json(folder / "curve.json"), folder / "history.h5"
    losses = CurveLosses.load(folder / "curve.h5") if info["status"] == "finished" else None
    return Connection(name, info, losses, History.load(history) if history.is_file() else None)


def _read_cycles(name: str, folder: Path) -> Cycles:
    info, history = read_json(folder / "fge.json"), folder / "history.h5"
    return Cycles(name, info, History.load(history) if history.is_file() else None)
