"""Minimizers side by side, along one direction and on a plane (Figure 3 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lossatlas.report.figures.along import Pair, along_legend, draw_along, share_row
from lossatlas.report.figures.axes import label_row
from lossatlas.report.figures.contours import Panel, contour_handles, draw_panel, loss_bar
from lossatlas.report.figures.profiles import ProfilePanel
from lossatlas.report.figures.scale import LossScale
from lossatlas.report.figures.style import empty_cell, headline, styled

ROWS = ("along one direction", "on a plane")


@styled
def minimizer_figure(
    profiles: Sequence[ProfilePanel], planes: Sequence[Panel], *, scale: LossScale, initialization: float | None = None
) -> Figure:
    """Return profiles (top) and contour plots (bottom) of the same minimizers, a column each.

    Args:
        profiles: the cells of the first row.
        planes: the cells of the second row.
        scale: levels and colours of the contours.
        initialization: the loss that is drawn as a dashed line in the contours.
    """
    columns = len(profiles)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(3.05 * columns + 1.5, 7.1), layout=layout)
    grid = figure.subplots(2, columns, squeeze=False)
    pairs: list[Pair | None] = []
    for axes, panel in zip(grid[0], profiles, strict=True):
        headline(axes, panel.title, panel.subtitle)
        if panel.profile is None:
            empty_cell(axes, panel.absent)
        pairs.append(draw_along(axes, panel.profile) if panel.profile else None)
        axes.set_box_aspect(0.9)
        if panel.profile:
            axes.set_xlabel("multiple of the direction")
    share_row([pairs])
    for axes, cell in zip(grid[1], planes, strict=True):
        draw_panel(axes, cell, scale=scale, initialization=initialization)
        if cell.plane:
            axes.set_xlabel("multiple of direction x")
    if planes[0].plane:
        grid[1, 0].set_ylabel("multiple of direction y")
    for axes, label in zip(grid[:, 0], ROWS, strict=True):
        label_row(axes, label)
    shown = [cell.plane for cell in planes if cell.plane]
    if shown:
        loss_bar(figure, list(grid[1]), scale=scale)
    handles = contour_handles(shown, initialization=initialization) if shown else []
    if shown or any(pairs):
        along_legend(figure, handles)
    return figure
