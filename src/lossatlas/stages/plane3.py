"""Stage `plane3`: the loss on the plane through three points, with a curve or a training on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from lossatlas.data import NORMALIZATIONS, NormalizationName, normalize
from lossatlas.engine.evaluator import Examples
from lossatlas.files import read_json, write_json
from lossatlas.landscape.curves import coefficients
from lossatlas.landscape.plane_basis import NoPlaneError
from lossatlas.landscape.spanning import PlaneThrough, plane_through
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import VALUES, Floats, Plane
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import engine_settings

# points of a curve that is drawn on the plane
_DRAWN = 61


@dataclass(frozen=True)
class _Path:
    """The files of a path on the plane, and what its points are: epochs, or t and the coefficients of its nodes."""

    name: str
    kind: Literal["curve", "run"]
    files: tuple[Path, ...]
    labels: Sequence[float]
    blend: Floats | None = None

    def states(self) -> Iterator[Mapping[str, Tensor]]:
        """Yield the weights of one file after the other: a long training does not fit into memory."""
        return (load_checkpoint(file).state for file in self.files)


def _called(point: Mapping[str, Any]) -> str:
    """Return what a point is called, for example `bend 1 of vgg16_chain`."""
    if point["curve"] is not None:
        return f"bend {point['bend']} of {point['curve']}"
    return str(point["run"]) if point["epoch"] is None else f"{point['run']} epoch {point['epoch']}"


def _unusable(folder: Path, point: Mapping[str, Any]) -> str:
    """Return why a point is not there, "" if it is."""
    if point["curve"] is not None:
        about = read_json(folder / "curve.json")
        if about["status"] != "finished":
            return f"the curve {point['curve']} was skipped ({about['reason']})"
    else:
        about = read_json(folder / "run.json")
        if about["status"] != "finished":
            return f"the run {point['run']} diverged ({about['note']})"
    file = _file(folder, point)
    if not file.exists():
        return f"{_called(point)} has no weights ({file.name} is not there)"
    if point["epoch"] is not None and (found := load_checkpoint(file).epoch) != point["epoch"]:
        return f"{_called(point)} has no weights ({file.name} is of epoch {found})"
    return ""


def _file(folder: Path, point: Mapping[str, Any]) -> Path:
    if point["curve"] is not None:
        return folder / f"node_{point['bend']}.safetensors"
    kept = folder / f"epoch_{point['epoch'] or 0:04d}.safetensors"
    # the weights after the last epoch lie in `final.safetensors` only
    return kept if point["epoch"] is not None and kept.exists() else folder / "final.safetensors"


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _path(job: Job) -> tuple[_Path | None, str]:
    """Return the path of the settings, or why there is none; both are empty where none is wanted."""
    point = job.settings["path"]
    if point is None:
        return None, ""
    folder = job.inputs["path"]
    if reason := _unusable(folder, point):
        return None, f"no path: {reason}"
    return (_run_path if point["curve"] is None else _curve_path)(folder, point, job.settings["through"])


def _run_path(folder: Path, point: Mapping[str, Any], through: Sequence[Mapping[str, Any]]) -> tuple[_Path, str]:
    """Return what a run kept, from the first of the three points on where all of them are of this run."""
    files = [*sorted(folder.glob("epoch_*.safetensors"), key=_number), folder / "final.safetensors"]
    epochs = [*map(_number, files[:-1]), load_checkpoint(files[-1]).epoch or 0]
    first = 0
    if all(each["run"] == point["run"] for each in through):
        first = min(epochs[-1] if each["epoch"] is None else each["epoch"] for each in through)
    shown = [(file, epoch) for file, epoch in zip(files, epochs, strict=True) if epoch >= first]
    return _Path(point["run"], "run", tuple(file for file, _ in shown), [epoch for _, epoch in shown]), ""


def _curve_path(folder: Path, point: Mapping[str, Any], _: object) -> tuple[_Path | None, str]:
    curve = read_json(folder / "curve.json")
    files = sorted(folder.glob("node_*.safetensors"), key=_number)
    if len(files) != curve["bends"] + 2:
        return None, f"no path: the curve {point['curve']} has {len(files)} of {curve['bends'] + 2} nodes"
    t = np.linspace(0, 1, _DRAWN).tolist()
    blend = np.stack([np.asarray(coefficients(curve["kind"], at, curve["bends"]), dtype=np.float64) for at in t])
    return _Path(point["curve"], "curve", tuple(files), t, blend), ""


def _reason(job: Job) -> str:
    """Return why there is no plane, as far as the points tell."""
    points = enumerate(job.settings["through"])
    reasons = (_unusable(job.inputs[f"point{i}"], point) for i, point in points)
    return next((reason for reason in reasons if reason), "")


def _examples(job: Job, normalization: NormalizationName) -> tuple[Examples, Examples, Tensor]:
    """Return the training and test examples of the losses, and the clean training images of the refresh."""
    data, constants = load_checked(job), NORMALIZATIONS[normalization]
    counts = []
    for key, labels in (
        ("refresh_examples", data.train_labels),
        ("train_examples", data.train_labels),
        ("test_examples", data.test_labels),
    ):
        n = len(labels) if job.settings[key] is None else job.settings[key]
        if n > len(labels):
            raise ValueError(f"{key} = {n} of {job.name}: the data set has {len(labels)}; use null for all")
        counts.append(n)
    refresh, train, test = counts
    clean = normalize(data.train_images[: max(refresh, train)], constants)
    tested = normalize(data.test_images[:test], constants), data.test_labels[:test]
    return (clean[:train], data.train_labels[:train]), tested, clean[:refresh]


def _mapped(job: Job, train: Examples, test: Examples, clean: Tensor, path: _Path | None) -> PlaneThrough:
    settings, through = job.settings, job.settings["through"]
    points = [load_checkpoint(_file(job.inputs[f"point{i}"], point)) for i, point in enumerate(through)]
    found = plane_through(
        points[0].build(),
        [point.state for point in points],
        train,
        test,
        names=[_called(point) for point in through],
        path=path.states() if path else (),
        blend=path.blend if path else None,
        refresh=clean,
        points_per_axis=settings["points"],
        journal=job.work / "points.jsonl",
        **{key: settings[key] for key in ("statistics", "refresh_batch_size", "margin")},
        **engine_settings(job),
    )
    for name, axis in zip(("x", "y"), found.axes, strict=True):
        axis.save(job.out / f"direction_{name}.safetensors")
    return found


def _empty(job: Job, reason: str) -> Plane:
    points = job.settings["points"]
    grid: dict[str, Any] = {name: np.full((points, points), np.nan) for name in VALUES}
    grid |= {name: np.full(points, np.nan) for name in ("x", "y")}
    return Plane(**grid, computed=np.zeros((points, points), dtype=bool), note=reason)


def _placed(found: PlaneThrough, path: _Path | None) -> dict[str, Any]:
    """Return where points and path lie on the plane, and the losses at the points."""
    columns = {"x": found.coordinates[:, 0], "y": found.coordinates[:, 1], **found.values}
    placed: dict[str, Any] = {
        "points": [{name: float(column[i]) for name, column in columns.items()} for i in range(3)],
        "refresh": found.plane.provenance["refresh"],
        "path": None,
    }
    if path:
        x, y = found.path.T.tolist()
        places = {"x": x, "y": y, "off_plane": found.off_plane.tolist()}
        placed["path"] = {"name": path.name, "kind": path.kind, "labels": path.labels, **places}
    return placed


def compute(job: Job) -> None:
    """Write `plane3.h5`, `plane3.json` and the two directions; coordinates are L2 distances.

    A plane whose path is not there is drawn without it, and says why; one without all of its points is skipped.
    """
    run = read_json(job.inputs["run"] / "run.json")
    train, test, clean = _examples(job, run["train"]["normalization"])
    nowhere = dict.fromkeys(("x", "y", *VALUES))
    nothing = {"examples": 0, "batch_size": None, "layers": 0}
    placed: dict[str, Any] = {"points": [nowhere] * 3, "refresh": nothing, "path": None}
    pathless = ""
    if not (reason := _reason(job)):
        path, pathless = _path(job)
        try:
            found = _mapped(job, train, test, clean, path)
            placed = _placed(found, path)
        except NoPlaneError as error:
            reason = str(error)
    surface = _empty(job, reason) if reason else found.plane
    surface.save(job.out / "plane3.h5")
    about = {
        "run": run["run"],
        "run_title": run["title"],
        **{key: run[key] for key in ("family", "options", "data", "num_classes")},
        "status": "skipped" if reason else "finished",
        "reason": "; ".join(filter(None, [surface.note, "" if reason else pathless])),
        "statistics": job.settings["statistics"],
        "names": [_called(point) for point in job.settings["through"]],
        **placed,
        "samples_train": len(train[1]),
        "samples_test": len(test[1]),
    }
    write_json(job.out / "plane3.json", about)
