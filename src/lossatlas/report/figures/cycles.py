"""Learning rate, test error and distance during fast geometric ensembling (Figure 3 of Garipov et al.)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lossatlas.report.figures.axes import open_frame, percent_axis, plain_number
from lossatlas.report.figures.methods import COLOURS, mark_members, member_handle
from lossatlas.report.figures.stacked import stacked_figure
from lossatlas.report.figures.style import styled
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

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return self.history is not None


@styled
def cycle_figure(blocks: Sequence[Sequence[CyclePanel]]) -> Figure:
    """Return three panels below each other for every network, in blocks of networks side by side."""
    handles = [Line2D([], [], color=COLOURS["fge"], linewidth=1.7, label="FGE"), member_handle()]
    return stacked_figure(blocks, _draw_column, rows=3, height=2.1, handles=handles)


def _draw_column(cells: Sequence[Axes], panel: CyclePanel, first: bool) -> None:
    history = panel.history
    assert history is not None  # empty columns do not come here
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
