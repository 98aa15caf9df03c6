"""Results of every kind from their files, and from a preset's studies by name."""

from __future__ import annotations

from pathlib import Path

from lossatlas.exports.li_surfaces import is_li_surface, read_li_surface
from lossatlas.paths import Workspace
from lossatlas.results import (
    CurveLosses,
    HessianMap,
    History,
    Line,
    Plane,
    Predictions,
    Profile,
    SampledPlane,
    SliceCurvatures,
    Stored,
    Trajectory,
    WeightHistogram,
)
from lossatlas.results.storage import read_hdf5, stored_kind

_TYPES: tuple[type[Stored], ...] = (
    *(CurveLosses, HessianMap, History, Line, Plane, Predictions),
    *(Profile, SampledPlane, SliceCurvatures, Trajectory, WeightHistogram),
)
KINDS = {found.KIND: found for found in _TYPES}
# kinds of stages whose file has another name
_FILES = {"train": "history", "fge": "history", "ensemble": "predictions"}


def read_result(path: Path | str) -> Stored:
    """Read a result of any kind, or a surface file of Li et al.'s program.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or holds no result.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    kind = stored_kind(path)
    if kind is None and is_li_surface(path):
        return read_li_surface(path)
    if kind not in KINDS:
        read_hdf5(path, "a result")  # says what is wrong with it
        raise ValueError(f"{path} holds {kind!r}, which is no kind of result; there are {', '.join(sorted(KINDS))}")
    return KINDS[kind].load(path)


def published(workspace: Workspace, preset: str, kind: str, name: str, *, surface: bool) -> Path:
    """Return the file of a published study.

    Args:
        workspace: the checkout.
        preset: the preset's name.
        kind: of the stage, for example `plane`.
        name: of the study.
        surface: of a trajectory, the plane below it rather than the path.

    Raises:
        FileNotFoundError: it is not published, or has several files.
    """
    folder = workspace.artifacts(preset, kind, name)
    if not folder.is_dir():
        others = sorted(item.name for item in folder.parent.glob("*/")) if folder.parent.is_dir() else []
        known = f"there are: {', '.join(others)}" if others else f"lossatlas stage {kind} {name} computes it"
        raise FileNotFoundError(f"no {kind} {name} is published for preset {preset}; {known}")
    stem = "plane" if kind == "trajectory" and surface else _FILES.get(kind, kind)
    path = folder / f"{stem}.h5"
    if not path.is_file():
        files = ", ".join(sorted(item.name for item in folder.glob("*.h5"))) or "none"
        raise FileNotFoundError(f"{folder} has no {path.name}; name one of its files instead: {files}")
    return path
