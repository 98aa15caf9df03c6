"""The recorded learning rates of snapshot ensembles and of fast geometric ensembling, with their formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lossatlas.report.ensembles import METHODS
from lossatlas.report.figures.axes import label_row, open_frame, plain_number
from lossatlas.report.figures.methods import COLOURS, mark_members, member_handle
from lossatlas.report.figures.style import INK, empty_cell, headline, headlines, level, panels_width, styled
from lossatlas.results import Floats, Integers

COSINE = (
    r"SSE:   $\alpha(t) = \dfrac{\alpha_0}{2}\left(\cos\left("
    r"\dfrac{\pi\,\mathrm{mod}(t-1,\,\lceil T/M \rceil)}{\lceil T/M \rceil}\right) + 1\right)$"
)
TRIANGLE = (
    r"FGE:   $\alpha(i) = (1-2t(i))\,\alpha_1 + 2t(i)\,\alpha_2$  for  $0 < t(i) \leq \frac{1}{2}$,",
    r"$\alpha(i) = (2-2t(i))\,\alpha_2 + (2t(i)-1)\,\alpha_1$  for  $\frac{1}{2} < t(i) \leq 1$,",
    r"$t(i) = \frac{1}{c}\,(\mathrm{mod}(i-1,\,c) + 1)$",
)
LABELS = ("snapshot ensembles", "fast geometric ensembling")


@dataclass(frozen=True)
class Recorded:
    """The learning rate of each step of a training: `member` holds the steps after which weights become members."""

    step: Integers  # counted from the start of the budget
    rate: Floats
    member: Sequence[int]


@dataclass(frozen=True)
class RatePanel:
    """One network: what was recorded of each method, and numbers of its formula; None where it was not run."""

    title: str
    sse: Recorded | None
    ind: Recorded | None
    fge: Recorded | None
    sse_numbers: str
    fge_numbers: str
    absent: Sequence[str]  # of SSE, of FGE


@styled
def rate_figure(panels: Sequence[RatePanel]) -> Figure:
    """Return recorded learning rates against iterations: cosine cycles (top), triangles after a common part (bottom).

    The panels of a network share their axes; below each row stands its formula.
    """
    if not any(panel.sse or panel.fge or panel.ind for panel in panels):
        return _nothing(panels)
    triangle = "     ".join(TRIANGLE) if len(panels) > 2 else "\n".join(TRIANGLE)
    heights = (3.0, 0.75, 3.0, 0.4 * len(triangle.splitlines()) + 0.1)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06)
    figure = Figure(figsize=(panels_width(len(panels)) + 0.4, sum(heights) + 1.2), layout=layout)
    grid = figure.add_gridspec(4, len(panels), height_ratios=heights)
    heads = headlines([panel.title for panel in panels], [panel.sse_numbers for panel in panels])
    numbers = level([panel.fge_numbers for panel in panels])
    for j, panel in enumerate(panels):
        cells = figure.add_subplot(grid[0, j]), figure.add_subplot(grid[2, j])
        headline(cells[0], *heads[j])
        headline(cells[1], "", numbers[j])
        _draw(cells[0], {"sse": panel.sse}, panel.absent[0])
        _draw(cells[1], {"ind": panel.ind, "fge": panel.fge}, panel.absent[1])
        _share([axes for axes in cells if axes.lines])
        if j == 0:
            for axes, label in zip(cells, LABELS, strict=True):
                label_row(axes, label)
    for i, formula in ((1, COSINE), (3, triangle)):
        words = figure.add_subplot(grid[i, :])
        words.set_axis_off()
        words.text(0.5, 0.5, formula, ha="center", va="center", fontsize=13, color=INK, in_layout=False)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _nothing(panels: Sequence[RatePanel]) -> Figure:
    """Return one row of empty cells."""
    figure = Figure(figsize=(panels_width(len(panels)), 2.6), layout="constrained")
    heads = headlines([panel.title for panel in panels], [""] * len(panels))
    for axes, panel, head in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, heads, strict=True):
        headline(axes, *head)
        empty_cell(axes, "\n".join(dict.fromkeys(panel.absent)))
    return figure


def _draw(axes: Axes, recorded: dict[str, Recorded | None], absent: str) -> None:
    if not any(recorded.values()):
        empty_cell(axes, absent)
        return
    for method, found in recorded.items():
        if found is None:
            continue
        colour = COLOURS[method]
        axes.plot(found.step, found.rate, color=colour, linewidth=1.4, label=method)
        index = np.searchsorted(found.step, np.asarray(found.member, dtype=np.int64))
        index = index[index < len(found.step)]
        mark_members(axes, found.step[index].astype(np.float64), found.rate[index], colour=colour)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(plain_number))
    axes.set_xlabel("iteration")
    axes.set_ylabel("learning rate")
    open_frame(axes)


def _share(panels: Sequence[Axes]) -> None:
    lines = [line for axes in panels for line in axes.lines]
    length = max((float(np.max(line.get_xdata())) for line in lines), default=1.0)
    highest = max((float(np.nanmax(line.get_ydata())) for line in lines), default=1.0)
    for axes in panels:
        axes.set_xlim(0, 1.01 * length)
        axes.set_ylim(0, 1.08 * highest)


def _handles() -> list[Line2D]:
    lines = [Line2D([], [], color=COLOURS[method], linewidth=2, label=name) for method, name in METHODS.items()]
    return [*lines, member_handle()]
