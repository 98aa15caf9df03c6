"""Error and negative log-likelihood of ensembles against the number of their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lossatlas.report.ensembles import BUDGETS, METHODS
from lossatlas.report.figures.axes import open_frame, percent_axis, plain_number
from lossatlas.report.figures.methods import COLOURS
from lossatlas.report.figures.stacked import stacked_figure
from lossatlas.report.figures.style import INK, styled
from lossatlas.results import Floats

MARKERS = {budgets: marker for budgets, marker in zip(BUDGETS, ("o", "s", "D"), strict=True)}
TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300)
LABELS = ("test error", "negative log-likelihood, nats")


@dataclass(frozen=True)
class Scores:
    """Error (a fraction) and negative log-likelihood (nats per example) against the number of members."""

    members: Floats
    error: Floats
    loss: Floats


@dataclass(frozen=True)
class Grown:
    """One method: its first budget's members taken one after the other, and all members of 1, 2, 3 budgets."""

    first: Scores
    pooled: Mapping[int, Scores]  # by the number of budgets, one value each


@dataclass(frozen=True)
class SizePanel:
    """One network: what is known of each method, None where it was not run; with nothing known words stand there."""

    title: str
    subtitle: str
    methods: Mapping[str, Grown | None]
    absent: str = ""

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""
        return any(found is not None for found in self.methods.values())


@styled
def size_figure(blocks: Sequence[Sequence[SizePanel]]) -> Figure:
    """Return test errors (top) and negative log-likelihoods (bottom), in blocks of networks side by side."""
    return stacked_figure(blocks, _draw_column, rows=2, height=2.9, handles=_handles())


def _draw_column(cells: Sequence[Axes], panel: SizePanel, first: bool) -> None:
    for axes, quantity, label in zip(cells, ("error", "loss"), LABELS, strict=True):
        for method, found in panel.methods.items():
            if found is not None:
                _draw(axes, found, quantity, COLOURS[method])
        _frame(axes)
        if first:
            axes.set_ylabel(label)
    percent_axis(cells[0].yaxis)
    cells[1].yaxis.set_major_formatter(FuncFormatter(plain_number))
    cells[1].set_xlabel("members")


def _draw(axes: Axes, found: Grown, quantity: str, colour: str) -> None:
    values = _finite(getattr(found.first, quantity))
    axes.plot(found.first.members, values, ".-", color=colour, linewidth=1.6, markersize=5, label="first budget")
    points = [(item.members, _finite(getattr(item, quantity))) for item in found.pooled.values()]
    if len(points) > 1:
        x, y = (np.concatenate(parts) for parts in zip(*points, strict=True))
        axes.plot(x, y, ":", color=colour, linewidth=1.1)
    for budgets, (x, y) in zip(found.pooled, points, strict=True):
        marker = MARKERS.get(budgets, "^")
        axes.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="white", label=f"{budgets}B", zorder=4)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _frame(axes: Axes) -> None:
    most = max(float(np.max(line.get_xdata())) for line in axes.lines if len(line.get_xdata()))  # type: ignore[arg-type]
    axes.set_xscale("log")
    axes.set_xlim(0.88, 1.14 * max(most, 2))
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= 1.1 * max(most, 2)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.margins(y=0.1)
    axes.locator_params(axis="y", nbins=5)
    open_frame(axes)


def _handles() -> list[Line2D]:
    lines = [Line2D([], [], color=COLOURS[method], linewidth=2.2, label=name) for method, name in METHODS.items()]
    style = {"linestyle": "", "color": INK, "markersize": 8, "markeredgecolor": "white"}
    points = [Line2D([], [], marker=marker, label=f"{budgets}B", **style) for budgets, marker in MARKERS.items()]  # type: ignore[arg-type]
    return [*lines, Line2D([], [], color=INK, marker=".", linewidth=1.6, label="members of the first budget"), *points]
