"""Minimizers side by side, along one direction and on a plane (Figures 3 and 15 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lossatlas.report.figures.along import Pair, along_legend, draw_along, share_row
from lossatlas.report.figures.axes import label_row
from lossatlas.report.figures.contours import Panel, contour_handles, draw_panel, loss_bar
from lossatlas.report.figures.profiles import ProfilePanel
from lossatlas.report.figures.scale import LossScale
from lossatlas.report.figures.style import empty_cell, folded, headline, styled


@styled
def minimizer_figure(
    profiles: Sequence[Sequence[ProfilePanel]],
    planes: Sequence[Sequence[Panel]],
    *,
    row_labels: Sequence[str],
    scale: LossScale,
    initialization: float | None = None,
) -> Figure:
    """Return rows of profiles (top) and rows of contour plots (bottom) of the same minimizers.

    Args:
        profiles: the cells of the first rows.
        planes: the cells of the rows below them; all rows have one length.
        row_labels: a name per row.
        scale: levels and colours of the contours.
        initialization: the loss that is drawn as a dashed line in the contours.
    """
    rows, columns, split = len(profiles) + len(planes), len(profiles[0]), len(profiles)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(3.05 * columns + 1.5, 3.0 * rows + 1.1), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    pairs = [_profiles(list(grid[i]), row, last=i == split - 1) for i, row in enumerate(profiles)]
    share_row(pairs)
    for i, row in enumerate(planes, split):
        _planes(list(grid[i]), row, scale=scale, initialization=initialization, last=i == rows - 1)
    for axes, label in zip(grid[:, 0], row_labels, strict=True):
        label_row(axes, label)
    shown = [cell.plane for row in planes for cell in row if cell.plane]
    if shown:
        loss_bar(figure, list(grid[split:].flat), scale=scale)
    handles = contour_handles(shown, initialization=initialization) if shown else []
    if shown or any(pair for row in pairs for pair in row):
        along_legend(figure, handles)
    return figure


def _profiles(grid: Sequence[Axes], row: Sequence[ProfilePanel], *, last: bool) -> list[Pair | None]:
    pairs: list[Pair | None] = []
    for axes, panel in zip(grid, row, strict=True):
        headline(axes, folded(panel.title), panel.subtitle)
        if panel.profile is None:
            empty_cell(axes, panel.absent)
        pairs.append(draw_along(axes, panel.profile) if panel.profile else None)
        axes.set_box_aspect(0.9)
        if panel.profile and last:
            axes.set_xlabel("multiple of the direction")
    return pairs


def _planes(
    grid: Sequence[Axes], row: Sequence[Panel], *, scale: LossScale, initialization: float | None, last: bool
) -> None:
    for axes, cell in zip(grid, row, strict=True):
        draw_panel(axes, cell, scale=scale, initialization=initialization)
        if cell.plane and last:
            axes.set_xlabel("multiple of direction x")
    if row[0].plane:
        grid[0].set_ylabel("multiple of direction y")
