"""Loss and error along the curves between two minimizers (Figure 2 of Garipov et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from lossatlas.report.ensembles import CURVES
from lossatlas.report.figures.axes import drawable, label_row, open_frame, percent_log, plain_number, share_log
from lossatlas.report.figures.scale import CAP, error
from lossatlas.report.figures.style import CYCLE, INK, empty_cell, headline, level, network_lines, styled
from lossatlas.results import CurveLosses, Floats

COLOURS = {"segment": CYCLE[1], "chain": CYCLE[2], "bezier": CYCLE[0]}
# how the statistics of batch normalization are set: the dashes, and the words
STATISTICS: dict[str, tuple[Literal["-", "--", ":"], str]] = {
    "refreshed": ("-", "statistics refreshed at each point"),
    "interpolated": ("--", "statistics interpolated"),
    "frozen": (":", "statistics of the start"),
}
TITLES = ("training loss, nats per example", "test error")


@dataclass(frozen=True)
class Along:
    """Losses along one curve of a kind (`segment`, `chain` or `bezier`).

    `least` is the error that is drawn where nothing is wrong: half an image of the test set.
    """

    kind: str
    losses: CurveLosses
    least: float


@dataclass(frozen=True)
class ConnectionRow:
    """The curves of one network, with distances and what is missing in words; without curves cells show `absent`."""

    label: str
    subtitles: tuple[str, str]  # above the loss, above the error
    curves: Sequence[Along]
    absent: str = ""


@styled
def connection_figure(rows: Sequence[ConnectionRow]) -> Figure:
    """Return training loss (left) and test error (right) against the place on the curve, a row per network.

    Both axes are logarithmic and the same in all rows: a barrier is many times as high as the ends.
    """
    heights = [3.5 if row.curves else 1.9 for row in rows]
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(12.6, sum(heights) + 1.1), layout=layout)
    grid = figure.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
    for i, row in enumerate(rows):
        for axes, title, subtitle in zip(grid[i], TITLES, level(row.subtitles), strict=True):
            headline(axes, title, subtitle)
        label_row(grid[i, 0], network_lines(row.label, 32))
        if not row.curves:
            for axes in grid[i]:
                empty_cell(axes, row.absent)
            continue
        for curve in row.curves:
            _draw(grid[i], curve)
        for axes in grid[i]:
            _frame(axes)
    for j, cap in ((0, 10**CAP), (1, None)):
        share_log([axes for axes in grid[:, j] if axes.lines], cap=cap)
    for axes in grid[:, 1]:
        if axes.lines:
            percent_log(axes.yaxis)
    last = max((i for i, row in enumerate(rows) if row.curves), default=None)
    if last is not None:
        for axes in grid[last]:
            axes.set_xlabel("place on the curve, t")
        handles = _handles([curve for row in rows for curve in row.curves])
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False)
    return figure


def _draw(panels: Sequence[Axes], curve: Along) -> None:
    for i, row in enumerate(curve.losses.rows):
        style = {"color": COLOURS[curve.kind], "linestyle": STATISTICS[row][0], "linewidth": 1.8}
        losses, errors = curve.losses.train_loss[i], error(curve.losses.test_accuracy[i])
        for axes, values in zip(panels, (losses, floored(errors, curve.least)), strict=True):
            axes.plot(curve.losses.t, drawable(values), label=f"{curve.kind}, {row}", **style)  # type: ignore[arg-type]


def floored(errors: Floats, least: float) -> Floats:
    """Return errors with `least` in place of 0, which a logarithmic axis has no place for."""
    return np.where(np.isfinite(errors), np.maximum(errors, least), np.nan)


def _frame(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    open_frame(axes)


def _handles(curves: Sequence[Along]) -> list[Line2D]:
    kinds = {curve.kind for curve in curves}
    rows = {row for curve in curves for row in curve.losses.rows}
    handles = [
        Line2D([], [], color=colour, linewidth=2.4, label=CURVES[kind])
        for kind, colour in COLOURS.items()
        if kind in kinds
    ]
    return handles + [
        Line2D([], [], color=INK, linestyle=dashes, linewidth=1.6, label=words)
        for row, (dashes, words) in STATISTICS.items()
        if row in rows
    ]
