"""Paths of training over the loss on a plane (Figures 8 and 9 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lossatlas.report.figures.axes import label_row
from lossatlas.report.figures.contours import draw_contours, loss_bar
from lossatlas.report.figures.scale import LossScale
from lossatlas.report.figures.style import INK, empty_cell, headline, styled
from lossatlas.results import Floats, Plane, Trajectory

DROP = "#e31a1c"
AXES = {
    "pca": ("1st PCA component", "2nd PCA component"),
    "random": ("random direction", "another random direction"),
    "random_and_start": ("random direction", "from the end to the start"),
}


@dataclass(frozen=True)
class PathPanel:
    """One cell: a path over the loss on its plane, or the words that stand in its place."""

    title: str
    subtitle: str
    trajectory: Trajectory | None
    plane: Plane | None
    absent: str = ""
    equal: bool = False  # one scale for both axes instead of the whole plane
    swapped: bool = False  # direction x upward


def swapped(plane: Plane) -> Plane:
    """Return a plane with its axes exchanged."""
    names = [name for name, dims in Plane.DIMS.items() if dims == ("x", "y")]
    return replace(plane, x=plane.y, y=plane.x, **{name: getattr(plane, name).T for name in names})


def drop_points(trajectory: Trajectory) -> list[int]:
    """Return which checkpoints are the last ones before a drop of the learning rate."""
    places = [int(np.searchsorted(trajectory.epoch, int(epoch), side="right")) - 1 for epoch in trajectory.drops]
    return sorted({place for place in places if place >= 0})


@styled
def path_figure(rows: Sequence[Sequence[PathPanel]], *, scale: LossScale, row_labels: Sequence[str] = ()) -> Figure:
    """Return paths over filled contours of the training loss, with the share of the variation along each axis.

    Args:
        rows: the cells.
        scale: levels and colours of every panel.
        row_labels: a name per row.
    """
    columns = max(len(row) for row in rows)
    # as for contours: panels of fixed aspect may use up the padding
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08, rect=(0, 0, 1, 0.98))
    figure = Figure(figsize=(3.6 * columns + 1.4, 4.25 * len(rows) + 0.7), layout=layout)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j in range(columns):
            if j < len(row):
                _draw_cell(grid[i, j], row[j], scale)
            else:
                grid[i, j].set_axis_off()
        if row_labels:
            label_row(grid[i, 0], row_labels[i])
    drawn = [panel.trajectory for row in rows for panel in row if panel.trajectory]
    if drawn:
        loss_bar(figure, list(grid.flat), scale=scale)
        figure.legend(handles=_handles(drawn), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_cell(axes: Axes, panel: PathPanel, scale: LossScale) -> None:
    headline(axes, panel.title, panel.subtitle)
    axes.set_box_aspect(1)
    if panel.trajectory is None or panel.plane is None:
        empty_cell(axes, panel.absent)
        return
    plane, path = panel.plane, panel.trajectory
    x, y, labels, shares = path.path_x, path.path_y, AXES[path.axes], path.captured
    if panel.swapped:
        plane, x, y, labels, shares = swapped(plane), y, x, labels[::-1], shares[::-1]
    draw_contours(axes, plane, scale=scale)
    _draw_path(axes, x, y, drop_points(path))
    if panel.equal:
        _equal_units(axes, plane)
    axes.locator_params(nbins=4)
    axes.set_xlabel(f"{labels[0]}: {share(shares[0])}")
    axes.set_ylabel(f"{labels[1]}: {share(shares[1])}")


def share(fraction: float) -> str:
    """Return a share of the variation in percent, with more digits where it is small."""
    if not np.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.1f} %" if fraction >= 0.001 else f"{100 * fraction:.2g} %"


def _equal_units(axes: Axes, plane: Plane) -> None:
    half = max(np.ptp(plane.x), np.ptp(plane.y)) / 2
    for middle, limit in (
        ((plane.x[0] + plane.x[-1]) / 2, axes.set_xlim),
        ((plane.y[0] + plane.y[-1]) / 2, axes.set_ylim),
    ):
        limit(middle - half, middle + half)
    axes.set_facecolor("white")  # not computed, rather than not finite


def _draw_path(axes: Axes, x: Floats, y: Floats, drops: Sequence[int]) -> None:
    axes.plot(x, y, color="white", linewidth=3.0, alpha=0.9, solid_joinstyle="round")
    axes.plot(x, y, color=INK, linewidth=1.2, marker="o", markersize=3.2, markeredgewidth=0, label="path")
    axes.plot(x[:1], y[:1], "s", color="white", markersize=7.5, markeredgecolor=INK, markeredgewidth=1.3)
    axes.plot(x[-1:], y[-1:], "+", color="white", markersize=17, markeredgewidth=3.2, zorder=4)
    axes.plot(x[-1:], y[-1:], "+", color=INK, markersize=16, markeredgewidth=1.6, zorder=4)
    # the last drops often lie at the end itself: its arms reach beyond them
    axes.plot(x[drops], y[drops], "D", color=DROP, markersize=6, markeredgecolor="white", label="drop", zorder=5)


def _handles(drawn: Sequence[Trajectory]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=INK, linewidth=1.2, marker="o", markersize=3.2, label="a checkpoint each"),
        Line2D([], [], linestyle="", marker="s", color="white", markeredgecolor=INK, markersize=7.5, label="start"),
        Line2D([], [], linestyle="", marker="+", color=INK, markersize=14, markeredgewidth=1.6, label="end"),
    ]
    if any(drop_points(path) for path in drawn):
        text = "learning rate drops"
        handles.append(Line2D([], [], linestyle="", marker="D", color=DROP, markersize=6, label=text))
    return handles
