"""Which trained weights a study reads, and whose network and data it takes."""

from __future__ import annotations

from typing import Any

from lossatlas.settings import Params
from lossatlas.settings.ensembles import EnsembleSettings, PointSettings
from lossatlas.stages.task import Input

_FINAL = "final.safetensors"
# kind of study: the files of the run that it reads
_READS: dict[str, tuple[str, ...]] = {"trajectory": ("run.json", "history.h5", _FINAL, "epoch_*.safetensors")}


def owner(params: Params, kind: str, settings: Any) -> str:
    """Return the run whose network and data a study takes, "" where it takes none."""
    if kind == "curve":
        return str(settings.start)
    if kind == "plane3":
        first = settings.through[0]
        return str(first.run or params.curves[first.curve].start)
    if kind == "ensemble":
        first = settings.budgets[0][0]
        return str(params.fges[first].run if settings.method == "fge" else first)
    return str(getattr(settings, "run", ""))


def weights(params: Params, kind: str, settings: Any, run: str) -> dict[str, Input]:
    """Return the trained weights that a study reads, by role."""
    if kind == "plane3":
        points = {f"point{i}": _point(point) for i, point in enumerate(settings.through)}
        path = {} if settings.path is None else {"path": _point(settings.path, whole=True)}
        return {"run": Input(("train", run), ("run.json",)), **points, **path}
    if kind == "fge":
        return {"run": Input(("train", run), ("run.json", *_weight_files(settings.start)))}
    if kind == "ensemble":
        return {"run": Input(("train", run), ("run.json",)), **_members(settings)}
    files = _READS.get(kind, ("run.json", _FINAL))
    if kind == "plane" and settings.epoch is not None:
        files = ("run.json", "history.h5", *_weight_files(settings.epoch))
    ends = {role: getattr(settings, role, None) for role in ("run", "end")}
    if kind == "curve":
        ends["run"] = settings.start
    return {role: Input(("train", name), files) for role, name in ends.items() if name}


def _weight_files(epoch: int | None) -> tuple[str, ...]:
    """Return where a run keeps the weights after an epoch; those after its last one lie in `final.safetensors`."""
    return (_FINAL,) if epoch is None else (f"epoch_{epoch:04d}.safetensors*", _FINAL)


def _point(point: PointSettings, *, whole: bool = False) -> Input:
    if point.curve is not None:
        return Input(("curve", point.curve), ("curve.json", "node_*.safetensors"))
    epochs = ("epoch_*.safetensors", _FINAL) if whole else _weight_files(point.epoch)
    return Input(("train", str(point.run)), ("run.json", *epochs))


def _members(ensemble: EnsembleSettings) -> dict[str, Input]:
    """Return what holds the members of each budget, by the roles `budget0.0`, `budget0.1`, ..."""
    if ensemble.method == "fge":
        kind, files = "fge", ("fge.json", "member_*.safetensors")
    else:
        snapshots = ("epoch_*.safetensors",) if ensemble.method in ("sse", "nocycle") else ()
        kind, files = "train", ("run.json", _FINAL, *snapshots)
    return {
        f"budget{i}.{j}": Input((kind, name), files)
        for i, names in enumerate(ensemble.budgets)
        for j, name in enumerate(names)
    }
