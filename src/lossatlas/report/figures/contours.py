"""Contour plots of loss surfaces, side by side on one colour scale (Figures 5 and 6 of Li et al.)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lossatlas.report.figures.axes import label_row
from lossatlas.report.figures.scale import LossScale, log_loss
from lossatlas.report.figures.style import INK, MISSING, RED, empty_cell, folded, headline, styled
from lossatlas.results import Floats, Plane


@dataclass(frozen=True)
class Panel:
    """One cell of a figure: a surface, or the words that stand in its place."""

    title: str
    subtitle: str
    plane: Plane | None
    absent: str = ""


@styled
def contour_figure(
    rows: Sequence[Sequence[Panel]],
    *,
    scale: LossScale,
    row_labels: Sequence[str] = (),
    initialization: float | None = None,
) -> Figure:
    """Return contour plots of the training loss in rows and columns.

    Args:
        rows: the cells; rows may differ in length.
        scale: levels and colours of every panel.
        row_labels: a name per row.
        initialization: the loss that marks where random initializations lie, drawn as a dashed line.
    """
    columns = max(len(row) for row in rows)
    # panels of fixed aspect may use up the padding: the rectangle leaves a margin above the titles
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08, rect=(0, 0, 1, 0.98))
    figure = Figure(figsize=(3.05 * columns + 1.5, 3.5 * len(rows) + 0.8), layout=layout)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        for j in range(columns):
            if j < len(row):
                draw_panel(grid[i, j], row[j], scale=scale, initialization=initialization)
            else:
                grid[i, j].set_axis_off()
        if row[0].plane:
            grid[i, 0].set_ylabel("multiple of direction y")
        if row_labels:
            label_row(grid[i, 0], row_labels[i])
    for j in range(columns):
        last = max(i for i, row in enumerate(rows) if j < len(row))
        if rows[last][j].plane:
            grid[last, j].set_xlabel("multiple of direction x")
    shown = [panel.plane for row in rows for panel in row if panel.plane]
    if shown:
        loss_bar(figure, list(grid.flat), scale=scale)
        handles = contour_handles(shown, initialization=initialization)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def loss_bar(
    figure: Figure,
    panels: Sequence[Axes],
    *,
    scale: LossScale,
    label: str = "training loss, nats per example",
    aspect: float = 32,
) -> None:
    """Draw the colour bar of the loss beside panels."""
    bar = figure.colorbar(
        ScalarMappable(norm=scale.norm, cmap=scale.colours),
        ax=panels,
        extend=scale.extend,
        ticks=scale.ticks,
        format=scale.labels,
        aspect=aspect,
        shrink=0.86,
        pad=0.015,
    )
    bar.set_label(label)


def draw_panel(axes: Axes, panel: Panel, *, scale: LossScale, initialization: float | None) -> None:
    """Draw a cell: the surface about the trained weights, or an empty frame with words."""
    headline(axes, folded(panel.title), panel.subtitle)
    if panel.plane is None:
        empty_cell(axes, panel.absent)
        axes.set_box_aspect(1)
        return
    draw_contours(axes, panel.plane, scale=scale, initialization=initialization)
    axes.plot([0], [0], marker="+", color="white", markersize=11, markeredgewidth=3.0)
    axes.plot([0], [0], marker="+", color=INK, markersize=10, markeredgewidth=1.4)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)


def draw_contours(
    axes: Axes,
    plane: Plane,
    *,
    scale: LossScale,
    initialization: float | None = None,
    values: Floats | None = None,
) -> None:
    """Draw the training loss of a plane as filled contours, and the level of initializations as a dashed line.

    Args:
        axes: an empty panel.
        plane: the grid, and its losses.
        scale: levels and colours.
        initialization: the loss of random initializations, not drawn if absent.
        values: (nx, ny), to be drawn in place of the training loss.
    """
    losses = plane.train_loss if values is None else values
    values = log_loss(losses, scale=scale).T  # (nx, ny) to the rows of y that contour wants
    axes.set_facecolor(MISSING)
    if min(values.shape) > 1 and not values.mask.all():
        axes.contourf(plane.x, plane.y, values, scale.levels, norm=scale.norm, cmap=scale.colours, extend="both")
        with warnings.catch_warnings():  # a level that a surface does not reach is no fault
            warnings.filterwarnings("ignore", message="No contour levels were found")
            axes.contour(
                *(plane.x, plane.y, values, scale.levels),
                colors="white",
                linewidths=0.45,
                linestyles="solid",
                alpha=0.55,
            )
            if initialization is not None:
                level = [np.log10(initialization)]
                axes.contour(plane.x, plane.y, values, level, colors="white", linewidths=2.6, alpha=0.9)
                axes.contour(plane.x, plane.y, values, level, colors=RED, linewidths=1.5, linestyles="--")
    axes.set_xlim(plane.x.min(), plane.x.max())
    axes.set_ylim(plane.y.min(), plane.y.max())


def contour_handles(planes: Sequence[Plane], *, initialization: float | None) -> list[Line2D | Patch]:
    """Return the legend of contour plots about trained weights."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker="+", color=INK, markersize=10, markeredgewidth=1.4, label="trained weights")
    ]
    if initialization is not None:
        text = f"loss {initialization:g}: level of random initializations"
        handles.append(Line2D([], [], linestyle="--", color=RED, linewidth=1.5, label=text))
    if any(not np.isfinite(plane.train_loss).all() for plane in planes):
        handles.append(Patch(color=MISSING, label="no finite value"))
    return handles
