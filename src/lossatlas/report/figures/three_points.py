"""Planes through three points in true distances, with the points and a path on them (Figure 1 of Garipov et al.)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lossatlas.report.figures.axes import label_row, plain_ticks
from lossatlas.report.figures.contours import draw_contours, loss_bar
from lossatlas.report.figures.marks import Mark, draw_mark, draw_start, mark_handles, start_handle
from lossatlas.report.figures.scale import LossScale, error
from lossatlas.report.figures.style import INK, MISSING, empty_cell, headline, headlines, network_lines, styled
from lossatlas.results import Floats, Plane

PATH = INK
PANEL = 200.0  # points: the longer side of a panel, at least
FLATTEST = 0.55  # height over width of a panel; a flatter plane is stretched upward, and says so
QUANTITIES = {
    "train_loss": "training loss, nats per example",
    "test_loss": "test loss, nats per example",
    "train_error": "training error",
    "test_error": "test error",
}


@dataclass(frozen=True)
class PointPanel:
    """One cell: a plane with points and a path on it, or the words that stand in its place."""

    title: str
    subtitle: str
    plane: Plane | None
    marks: Sequence[Mark] = ()
    path: tuple[Floats, Floats] | None = None
    start: tuple[float, float] | None = None  # of a path of training
    absent: str = ""


@dataclass(frozen=True)
class PlaneRow:
    """Panels of one quantity, a key of `QUANTITIES`, on one scale."""

    label: str
    quantity: str
    scale: LossScale
    panels: Sequence[PointPanel]


@styled
def plane_figure(rows: Sequence[PlaneRow], *, path: str = "", titles_once: bool = False) -> Figure:
    """Return filled contours on planes, in rows with one colour bar per quantity; axes are distances.

    Args:
        rows: the panels.
        path: what the drawn paths are, for the legend.
        titles_once: whether the rows show the same planes, so that the first row's titles do for all.
    """
    drawn = [panel for row in rows for panel in row.panels if panel.plane]
    rows = rows if drawn else rows[:1]
    columns = max(len(row.panels) for row in rows)
    heights = [_row_height(row, titled=i == 0 or not titles_once) if drawn else 2.2 for i, row in enumerate(rows)]
    height = sum(heights) + 0.8 * bool(drawn)
    # as for contours: panels of fixed aspect may use up the padding
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1, rect=(0, 0, 1, 1 - 0.2 / height))
    figure = Figure(figsize=(3.7 * columns + 1.5, height), layout=layout)
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for i, row in enumerate(rows):
        heads = _heads(row)
        for j, axes in enumerate(grid[i]):
            if j >= len(row.panels):
                axes.set_axis_off()
                continue
            panel = row.panels[j]
            if i == 0 or not titles_once:
                headline(axes, *heads[j])
            if panel.plane is None:
                empty_cell(axes, panel.absent)
                axes.set_box_aspect(_aspect(row) if drawn else None)
                continue
            _draw_cell(axes, panel, panel.plane, row)
            if i == len(rows) - 1 or not titles_once:
                axes.set_xlabel("L2 distance")
        if row.label:
            label_row(grid[i, 0], network_lines(row.label, 32), gap=52)
    _bars(figure, list(grid), rows)
    handles = _handles(drawn, path)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def stretch(plane: Plane) -> float:
    """Return how many times longer a distance is drawn upward than to the side: once, unless the plane is very flat."""
    return max(1.0, FLATTEST * float(np.ptp(plane.x) / np.ptp(plane.y)))


def _heads(row: PlaneRow) -> list[tuple[str, str]]:
    return headlines([panel.title for panel in row.panels], [panel.subtitle for panel in row.panels])


def _row_height(row: PlaneRow, *, titled: bool) -> float:
    """Return the height in inches of a row of square panels with the lines above them."""
    lines = max(len(title.splitlines() + subtitle.splitlines()) for title, subtitle in _heads(row))
    return 3.5 + 0.27 * lines * titled


def _aspect(row: PlaneRow) -> float:
    """Return height over width of the first plane of a row, so that empty cells stand beside it alike."""
    planes = [panel.plane for panel in row.panels if panel.plane]
    return stretch(planes[0]) * float(np.ptp(planes[0].y) / np.ptp(planes[0].x)) if planes else 1.0


def values_of(plane: Plane, quantity: str) -> Floats:
    """Return losses or, as fractions, errors on a plane, (nx, ny)."""
    source, _, kind = quantity.partition("_")
    return error(getattr(plane, f"{source}_accuracy")) if kind == "error" else getattr(plane, quantity)


def _draw_cell(axes: Axes, panel: PointPanel, plane: Plane, row: PlaneRow) -> None:
    draw_contours(axes, plane, scale=row.scale, values=values_of(plane, row.quantity))
    if panel.path is not None:
        axes.plot(*panel.path, color="white", linewidth=3.4, alpha=0.9, solid_joinstyle="round")
        axes.plot(*panel.path, color=PATH, linewidth=1.7, solid_joinstyle="round", label="path")
    if panel.start is not None:
        draw_start(axes, *panel.start)
    ratio = stretch(plane) * float(np.ptp(plane.y) / np.ptp(plane.x))
    size = (PANEL / max(ratio, 1.0), PANEL * min(ratio, 1.0))
    for mark in panel.marks:
        draw_mark(axes, mark, middle=float(np.mean([other.y for other in panel.marks])), size=size)
    axes.set_aspect(stretch(plane))
    axes.locator_params(nbins=5)
    plain_ticks(axes)


def _bars(figure: Figure, grid: Sequence[Sequence[Axes]], rows: Sequence[PlaneRow]) -> None:
    """Draw a colour bar beside the rows of each quantity."""
    places: Mapping[str, list[int]] = {
        row.quantity: [i for i, other in enumerate(rows) if other.quantity == row.quantity] for row in rows
    }
    for quantity, found in places.items():
        panels = [axes for i in found for axes in grid[i]]
        if any(panel.plane for i in found for panel in rows[i].panels):
            scale, label = rows[found[0]].scale, QUANTITIES[quantity]
            loss_bar(figure, panels, scale=scale, label=label, aspect=18 * len(found))


def _handles(drawn: Sequence[PointPanel], path: str) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [*mark_handles([mark for panel in drawn for mark in panel.marks])]
    handles += [start_handle()] * any(panel.start for panel in drawn)
    handles += [Line2D([], [], color=PATH, linewidth=1.7, label=path)] * any(panel.path for panel in drawn)
    if any(not np.isfinite(panel.plane.train_loss).all() for panel in drawn if panel.plane):
        handles.append(Patch(color=MISSING, label="no finite value"))
    return handles
