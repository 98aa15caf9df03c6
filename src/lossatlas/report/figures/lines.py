"""Losses and errors along one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lossatlas.report.figures.style import CYCLE, empty_cell, headline, styled
from lossatlas.results import Line


@dataclass(frozen=True)
class LinePanel:
    """One cell: a line, or the words that stand in its place."""

    title: str
    subtitle: str
    line: Line | None
    absent: str = ""


@styled
def line_figure(panels: Sequence[LinePanel], *, columns: int = 3) -> Figure:
    """Return losses (left axis, logarithmic) and accuracies (right axis) along each line."""
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    figure = Figure(figsize=(3.9 * columns + 0.4, 3.5 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_axis_off()
            continue
        panel = panels[i]
        headline(axes, panel.title, panel.subtitle)
        if panel.line is None:
            empty_cell(axes, panel.absent)
        else:
            _draw_line(axes, panel.line)
    handles = next((axes.get_legend_handles_labels() for axes in grid.flat if axes.lines), None)
    if handles:
        figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_line(axes: Axes, line: Line) -> None:
    twin = axes.twinx()
    for source, style in (("train", "-"), ("test", "--")):
        loss = getattr(line, f"{source}_loss")
        drawable = np.where(np.isfinite(loss) & (loss > 0), loss, np.nan)
        axes.plot(line.alpha, drawable, style, color=CYCLE[0], label=f"{source} loss")
        twin.plot(line.alpha, getattr(line, f"{source}_accuracy"), style, color=CYCLE[1])
        axes.plot([], [], style, color=CYCLE[1], label=f"{source} accuracy")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("multiple of the direction")
    axes.set_ylabel("loss, nats per example", color=CYCLE[0])
    twin.set_ylim(0, 1)
    twin.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    twin.set_ylabel("accuracy", color=CYCLE[1])
