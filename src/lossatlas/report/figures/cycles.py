"""Learning rate, test error and distance during fast geometric ensembling (Figure 3 of Garipov et al.)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lossatlas.report.figures.axes import open_frame, percent_axis, plain_number
from lossatlas.report.figures.methods import COLOURS, mark_members, member_handle
from lossatlas.report.figures.style import empty_cell, headline, headlines, panels_width, styled
from lossatlas.results import Floats, History

LABELS = ("learning rate", "test error", "distance from the start")


@dataclass(frozen=True)
class CyclePanel:
    """One network: what was recorded, or the words that stand in its place.

    Attributes:
        title: the network.
        subtitle: numbers.
        history: of the epochs in cycles; row 0 is the start.
        distance: (epochs + 1,) L2 distance from the start.
        members: the epochs, counted from the start, whose weights are members.
        start: the epoch of the budget at which the cycles begin.
        steps_per_epoch: optimizer steps.
        absent: the words.
    """

    title: str
    subtitle: str
    history: History | None
    distance: Floats
    members: Sequence[int]
    start: int
    steps_per_epoch: int
    absent: str = ""


@styled
def cycle_figure(blocks: Sequence[Sequence[CyclePanel]]) -> Figure:
    """Return three panels below each other for every network, in blocks of networks side by side.

    A block in which nothing was computed is one row of empty cells.
    """
    rows = [3 if any(panel.history for panel in block) else 1 for block in blocks]
    columns = max(len(block) for block in blocks)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.05)
    figure = Figure(figsize=(panels_width(columns), 2.1 * sum(rows) + 0.5 * len(rows) + 0.5), layout=layout)
    grid = figure.subplots(sum(rows), columns, squeeze=False)
    for block, count, first in zip(blocks, rows, np.cumsum([0, *rows]), strict=False):
        heads = headlines([panel.title for panel in block], [panel.subtitle for panel in block])
        for j in range(columns):
            cells = list(grid[first : first + count, j])
            if j < len(block):
                headline(cells[0], *heads[j])
                _draw_column(cells, block[j], first=j == 0)
            else:
                for axes in cells:
                    axes.set_axis_off()
    figure.align_ylabels()
    if 3 in rows:
        handles = [Line2D([], [], color=COLOURS["fge"], linewidth=1.7, label="FGE"), member_handle()]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_column(cells: Sequence[Axes], panel: CyclePanel, *, first: bool) -> None:
    if panel.history is None:
        for axes in cells:
            empty_cell(axes, panel.absent)
        return
    history = panel.history
    steps = panel.start + history.step / panel.steps_per_epoch
    epochs = (panel.start + history.epoch).astype(np.float64)
    taken = np.asarray(panel.members, dtype=np.int64)
    at_steps = taken * panel.steps_per_epoch - 1
    for axes, x, y, marked in (
        (cells[0], steps, history.step_learning_rate, at_steps),
        (cells[1], epochs, history.test_error, taken),
        (cells[2], epochs, panel.distance, taken),
    ):
        _draw_line(axes, x, y, marked[(marked >= 0) & (marked < len(y))])
    for axes, label in zip(cells, LABELS, strict=True):
        axes.set_ylabel(label if first else "")
        axes.set_xlim(panel.start, max(float(epochs[-1]), panel.start + 1))
        axes.tick_params(labelbottom=axes is cells[-1])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    _from_zero(cells[0], plain_number)
    percent_axis(cells[1].yaxis)
    _from_zero(cells[2], plain_number)
    cells[-1].set_xlabel("epoch of the budget")


def _draw_line(axes: Axes, x: Floats, y: Floats, marked: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    values = np.where(np.isfinite(y), y, np.nan)
    axes.plot(x, values, color=COLOURS["fge"], linewidth=1.5)
    mark_members(axes, x[marked], values[marked], colour=COLOURS["fge"])
    axes.locator_params(axis="y", nbins=4)
    axes.margins(y=0.12)
    open_frame(axes)


def _from_zero(axes: Axes, label: Callable[[float, float | None], str]) -> None:
    axes.set_ylim(0, max(axes.get_ylim()[1], 1e-9))
    axes.yaxis.set_major_formatter(FuncFormatter(label))
