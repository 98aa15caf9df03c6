"""What the explorer offers: every surface of a report with its path, its epochs and its eigenvalues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.explorer.packing import pack
from lossatlas.report.explorer.surfaces import eigenvalues, quantities
from lossatlas.report.figures.paths import AXES, drop_points
from lossatlas.report.figures.plane_marks import point_marks
from lossatlas.report.wording import outcome, run_title
from lossatlas.results import Plane, SampledPlane

GROUPS = {
    "plane": "About trained weights, two random directions",
    "trajectory": "About a path of training",
    "plane3": "Through three points",
}
# after the name of the network, which would else be the same for two surfaces
ABOUT = {"plane": ", random directions", "trajectory": ", path of training"}
Entry = dict[str, Any]


def entries(results: Results) -> list[Entry]:
    """Return every surface that was computed, by group and name."""
    return [*_about_weights(results), *_about_paths(results), *_through_points(results)]


def _about_weights(results: Results) -> Iterator[Entry]:
    for name, surface in results.planes.items():
        if surface.plane is None:
            continue
        run = str(surface.info["run"])
        moments = _moments(results, surface)
        found = results.hessians.get(name)
        yield {
            **_head("plane", name, surface.info, results),
            "titles": ["direction x, filter-normalized", "direction y, filter-normalized"],
            **_grid(surface.plane),
            "frames": [_frame(epoch, moment) for epoch, moment in moments],
            "eigenvalues": eigenvalues(found.map) if found and found.map and run == name else None,
            "paths": [_centre()],
        }


def _moments(results: Results, surface: Surface) -> list[tuple[int, Surface]]:
    """Return a plane with those of earlier epochs of the same run on the same grid, in order of time."""
    run, plane = str(surface.info["run"]), surface.plane
    done = results.runs.get(run)
    last = int(done.train.get("epochs") or 0) if done else 0
    found = {last: surface}
    if surface is not results.plane_of(run) or plane is None:
        return list(found.items())
    for moment in results.moments.values():
        other = moment.plane
        same = other is not None and np.array_equal(other.x, plane.x) and np.array_equal(other.y, plane.y)
        if same and moment.info["run"] == run:
            found.setdefault(int(moment.info["epoch"]), moment)
    return sorted(found.items(), key=lambda item: item[0])


def _about_paths(results: Results) -> Iterator[Entry]:
    for name, descent in results.trajectories.items():
        path, plane = descent.trajectory, descent.plane
        if path is None or plane is None:
            continue
        axes = zip(AXES[path.axes], path.captured, strict=True)
        drops = set(drop_points(path))
        labels = [f"epoch {epoch}{', then the rate drops' * (i in drops)}" for i, epoch in enumerate(path.epoch)]
        yield {
            **_head("trajectory", name, descent.info, results),
            "titles": [f"{axis}, {100 * share:.1f} % of the path's variation" for axis, share in axes],
            **_grid(plane),
            "frames": [_frame(int(path.epoch[-1]), Surface(name, descent.info, plane))],
            "eigenvalues": None,
            "paths": [_path("path of training", path.path_x, path.path_y, labels)],
        }


def _through_points(results: Results) -> Iterator[Entry]:
    for name, found in results.planes3.items():
        if found.plane is None:
            continue
        marks, path = point_marks(found.info, results), found.info.get("path")
        paths = [
            _path(
                "points",
                [mark.x for mark in marks],
                [mark.y for mark in marks],
                [mark.name or mark.number for mark in marks],
                "",
            )
        ]
        if path is not None:
            word = "t = " if path["kind"] == "curve" else ""
            labels = [word + (f"{item:.3g}" if isinstance(item, float) else str(item)) for item in path["labels"]]
            paths.insert(0, _path(f"{path['kind']} {path['name']}", path["x"], path["y"], labels))
        yield {
            **_head("plane3", name, found.info, results),
            "titles": ["L2 distance in weight space"] * 2,
            **_grid(found.plane),
            "frames": [_frame(0, Surface(name, found.info, found.plane))],
            "eigenvalues": None,
            "paths": paths,
        }


def _head(kind: str, name: str, info: Mapping[str, Any], results: Results) -> Entry:
    run = str(info.get("run") or (info.get("names") or [name])[0])
    title = run_title(run, results) + ABOUT.get(kind, "")
    if kind == "plane3":
        title = f"{title}: {', '.join(mark.name or mark.number for mark in point_marks(info, results))} ({name})"
    elif name != run:
        title = f"{title} ({name})"
    about = f"test error {outcome(results.runs.get(run))}" if run in results.runs and kind != "plane3" else ""
    return {"id": f"{kind}/{name}", "group": GROUPS[kind], "title": title, "about": about}


def _grid(plane: Plane) -> Entry:
    return {"x": pack(plane.x), "y": pack(plane.y)}


def _frame(epoch: int, surface: Surface) -> Entry:
    plane = surface.plane
    assert plane is not None  # only planes that were computed come here
    info = surface.info
    return {
        "epoch": epoch,
        "images": {"train": info.get("samples_train"), "test": info.get("samples_test")},
        "sampled": isinstance(plane, SampledPlane),
        "note": plane.note,
        "quantities": quantities(plane),
    }


def _path(
    name: str, x: Sequence[Any] | Any, y: Sequence[Any] | Any, labels: Sequence[str], line: str = "line"
) -> Entry:
    coordinates = [[float("nan") if value is None else float(value) for value in values] for values in (x, y)]
    return {"name": name, "x": pack(coordinates[0]), "y": pack(coordinates[1]), "labels": list(labels), "line": line}


def _centre() -> Entry:
    return _path("trained weights", [0.0], [0.0], ["trained weights"], "")
