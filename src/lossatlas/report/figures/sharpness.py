"""Sharpness as numbers against test error, with rank correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from lossatlas.report.figures.axes import label_log, open_frame, percent_axis, plain_number
from lossatlas.report.figures.style import CYCLE, INK, empty_cell, folded, headline, styled

COLUMNS = 3
WIDTH = 46  # characters of a title that fit above a panel
MARKERS = ("o", "s", "D", "^", "v")


@dataclass(frozen=True)
class Point:
    """One run: the measure, and the test error as a fraction."""

    value: float
    test_error: float
    group: str


@dataclass(frozen=True)
class Measured:
    """One measure of sharpness over the runs."""

    title: str
    unit: str
    points: Sequence[Point]
    correlation: str


@styled
def sharpness_figure(measures: Sequence[Measured], *, absent: str = "") -> Figure:
    """Return a scatter plot of test error per measure; without measures one empty panel with the words `absent`."""
    count = max(len(measures), 1)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.4 * columns + 0.4, 3.7 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=bool(measures))
    if not measures:
        headline(grid[0, 0], "sharpness and test error", "")
        empty_cell(grid[0, 0], absent)
        return figure
    groups = list(dict.fromkeys(point.group for measure in measures for point in measure.points))
    looks = {group: (CYCLE[i % len(CYCLE)], MARKERS[i % len(MARKERS)]) for i, group in enumerate(groups)}
    for i, axes in enumerate(grid.flat):
        if i >= len(measures):
            axes.set_axis_off()
            continue
        headline(axes, folded(measures[i].title, WIDTH), measures[i].correlation)
        _scatter(axes, measures[i], looks)
        if i % columns == 0:
            axes.set_ylabel("test error")
    percent_axis(grid[0, 0].yaxis)
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=group)
        for group, (colour, marker) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _scatter(axes: Axes, measure: Measured, looks: Mapping[str, tuple[str, str]]) -> None:
    points = [point for point in measure.points if math.isfinite(point.value) and math.isfinite(point.test_error)]
    for point in points:
        colour, marker = looks[point.group]
        axes.plot(
            point.value, point.test_error, marker, color=colour, markersize=7, alpha=0.85, markeredgecolor="white"
        )
    values = [point.value for point in points]
    if values and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
        axes.xaxis.set_minor_formatter(NullFormatter())
        if max(values) < 30 * min(values):
            label_log(axes.xaxis, min(values), max(values))
    elif values:
        axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(measure.unit, color=INK)
    open_frame(axes)
