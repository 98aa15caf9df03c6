"""Losses and accuracies along one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lossatlas.report.figures.along import along_legend, draw_along, share_row
from lossatlas.report.figures.style import empty_cell, folded, headline, styled
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
        headline(axes, folded(panel.title), panel.subtitle)
        if panel.line is None:
            empty_cell(axes, panel.absent)
        else:
            share_row([[draw_along(axes, panel.line)]])  # lines of different runs have little in common
            axes.set_xlabel("multiple of the direction")
    if any(panel.line for panel in panels):
        along_legend(figure)
    return figure
