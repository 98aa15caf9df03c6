"""Norms of the weights during training (Figure 10 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lossatlas.report.figures.axes import open_frame, plain_number
from lossatlas.report.figures.style import CYCLE, empty_cell, headline, styled
from lossatlas.results import History

SIZES = ("small batch", "large batch")
COLOURS = (CYCLE[2], "#7b3294")  # not those of loss and accuracy


@dataclass(frozen=True)
class NormPanel:
    """One optimizer and weight decay: the histories of the small and the large batch, None where there is none."""

    title: str
    subtitle: str
    histories: Sequence[History | None]  # as SIZES
    absent: Sequence[str] = ("", "")


def draw_norms(axes: Axes, histories: Sequence[History | None], *, against: str = "epoch") -> None:
    """Draw the L2 norm of the weights against epochs, or against optimizer steps (`against="step"`).

    Dotted lines mark drops of the learning rate.
    """
    for history, colour in zip(histories, COLOURS, strict=True):
        if history is None:
            continue
        steps = against == "step"
        time = np.concatenate(([0], history.step)) if steps else history.epoch
        norm = np.concatenate((history.weight_norm[:1], history.step_weight_norm)) if steps else history.weight_norm
        axes.plot(time, np.where(np.isfinite(norm), norm, np.nan), color=colour, linewidth=1.7)
        for drop in drops(history, against=against):
            axes.axvline(drop, color=colour, linestyle=":", linewidth=0.9, zorder=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_xlim(left=0)
    open_frame(axes)


def drops(history: History, *, against: str = "epoch") -> list[int]:
    """Return the last epochs, or the last steps, before the learning rate is lowered at once."""
    steps = against == "step"
    times, rates = (history.step, history.step_learning_rate) if steps else (history.epoch, history.learning_rate)
    return [int(times[i - 1]) for i in range(1, len(times)) if rates[i] < 0.7 * rates[i - 1]]


def size_handles(labels: Sequence[str] = SIZES) -> list[Line2D]:
    """Return the legend of the two batch sizes."""
    return [
        Line2D([], [], color=colour, linewidth=2.2, label=label) for colour, label in zip(COLOURS, labels, strict=True)
    ]


@styled
def norm_figure(panels: Sequence[NormPanel]) -> Figure:
    """Return weight norms against epochs (top) and iterations (bottom), a column per optimizer and weight decay."""
    figure = Figure(figsize=(3.2 * len(panels) + 0.6, 6.3), layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False)
    for i, against in enumerate(("epoch", "step")):
        for axes, panel in zip(grid[i], panels, strict=True):
            if i == 0:
                headline(axes, panel.title, panel.subtitle)
            if not any(panel.histories):
                empty_cell(axes, _words(panel))
                continue
            draw_norms(axes, panel.histories, against=against)
            axes.set_xlabel("epoch" if against == "epoch" else "iteration")
        first = next((axes for axes in grid[i] if axes.lines), None)
        if first:
            first.set_ylabel("L2 norm of the weights")
    share_from_zero(list(grid.flat))
    figure.legend(handles=size_handles(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _words(panel: NormPanel) -> str:
    return "\n".join(dict.fromkeys(panel.absent))


def share_from_zero(panels: Sequence[Axes]) -> None:
    """Give the drawn ones of the panels one vertical range that starts at 0."""
    drawn = [axes for axes in panels if axes.lines]
    high = max((axes.get_ylim()[1] for axes in drawn), default=1)
    for axes in drawn:
        axes.set_ylim(0, 1.04 * high)
