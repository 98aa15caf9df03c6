"""From the account of a plane through three points to what is drawn on it: named points, curves, numbered snapshots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lossatlas.report.artefacts import Results
from lossatlas.report.figures.atlas import Atlas
from lossatlas.report.figures.axes import plain_number
from lossatlas.report.figures.details_modes import statistics_words
from lossatlas.report.figures.marks import Mark
from lossatlas.report.figures.three_points import PointPanel, stretch
from lossatlas.results import Floats, Plane

Info = Mapping[str, Any]


def plane_panel(atlas: Atlas, name: str, run: str, title: str) -> PointPanel:
    """Return the panel of a plane through three points, by its name.

    Args:
        atlas: the results.
        name: the plane's name.
        run: the run that it belongs to, for the words where it is missing.
        title: the headline.
    """
    found = atlas.results.planes3.get(name)
    if found is None or found.plane is None:
        return PointPanel(title, "", None, absent=atlas.absent(run, found.info if found else None))
    path = found.info.get("path")
    line = None if path is None else (_floats(path["x"]), _floats(path["y"]))
    subtitle = f"{statistics_words(found.info)}\n{_stretched(found.plane)}".strip()
    if path is None or line is None or path["kind"] == "curve":
        return PointPanel(title, subtitle, found.plane, point_marks(found.info, atlas.results), line)
    marks, start = snapshot_marks(path, snapshot_epochs(str(path["name"]), atlas.results))
    return PointPanel(title, f"{off_plane(path)}\n{subtitle}".strip(), found.plane, marks, line, start)


def _stretched(plane: Plane) -> str:
    """Return that and how much a flat plane is stretched, in words."""
    factor = stretch(plane)
    return "" if factor == 1 else f"upward stretched {factor:.2g} times"


def _floats(values: Any) -> Floats:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def point_marks(info: Info, results: Results) -> list[Mark]:
    """Return the three points: bends of curves, runs by their seed where that alone tells them apart, else by name."""
    names = [str(name) for name in info["names"]]
    runs = {name: results.runs.get(name) for name in names if not name.startswith("bend ")}
    seeds = {name: run.info.get("seed") if run else None for name, run in runs.items()}
    titles = {run.info.get("title") if run else None for run in runs.values()}
    if None not in (*seeds.values(), *titles) and len(titles) == 1 and len(set(seeds.values())) == len(seeds):
        labels = {name: f"seed {seed}" for name, seed in seeds.items()}
    else:
        labels = {name: name for name in runs}
    points = zip(names, info["points"], strict=True)
    return [
        Mark(float(point["x"]), float(point["y"]), labels.get(name) or _bend(name, names), name not in runs)
        for name, point in points
    ]


def _bend(name: str, names: list[str]) -> str:
    """Return "bend", with its number where a plane has several."""
    return name.partition(" of ")[0] if sum(other.startswith("bend ") for other in names) > 1 else "bend"


def snapshot_epochs(run: str, results: Results) -> list[int]:
    """Return the epochs after which a run's cosine cycles end, its last one if it has no cycles."""
    done = results.runs.get(run)
    train = done.train if done else {}
    cycles = int((train.get("schedule_options") or {}).get("cycles") or 1)
    epochs = int(train.get("epochs") or 0)
    return [i * epochs // cycles for i in range(1, cycles + 1)]


def snapshot_marks(path: Info, epochs: list[int]) -> tuple[list[Mark], tuple[float, float] | None]:
    """Return the snapshots of a path of training, numbered in order of time, and the place of its initialization.

    Without `epochs` that are on the path every checkpoint but the initialization is numbered.
    """
    labels = [_epoch(label) for label in path["labels"]]
    places = list(zip(path["x"], path["y"], strict=True))
    kept = [i for i, epoch in enumerate(labels) if epoch in epochs] or [
        i for i, epoch in enumerate(labels) if epoch != 0
    ]
    number = {epoch: i for i, epoch in enumerate(epochs, 1)}
    marks = [Mark(*places[i], number=str(number.get(labels[i] or 0, order))) for order, i in enumerate(kept, 1)]
    start = next((places[i] for i, epoch in enumerate(labels) if epoch == 0), None)
    return marks, start


def _epoch(label: Any) -> int | None:
    digits = str(label).rpartition(" ")[2]
    return int(digits) if digits.isdigit() else None


def off_plane(path: Info) -> str:
    """Return how far a path leaves its plane at most, in words."""
    distances = [float(value) for value in path.get("off_plane") or [] if value is not None and math.isfinite(value)]
    if not distances:
        return ""
    return f"at most {plain_number(float(f'{max(distances):.2g}'))} off the plane"
