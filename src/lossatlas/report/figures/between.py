"""The straight line between two minimizers, and several side by side (Figures 2 and 14 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossatlas.report.figures.along import Pair, Quantity, along_legend, draw_along, share_row
from lossatlas.report.figures.axes import plain_number
from lossatlas.report.figures.norms import SIZES
from lossatlas.report.figures.style import INK, empty_cell, headline, styled
from lossatlas.results import Line


@dataclass(frozen=True)
class Between:
    """One cell: the line from the small batch (0) to the large one (1), or the words that stand in its place."""

    title: str
    subtitles: Sequence[str]  # test errors, as SIZES
    line: Line | None
    absent: str = ""


def draw_between(axes: Axes, panel: Between, *, right: Quantity = "accuracy") -> Pair | None:
    """Draw a cell without its title; the two minimizers are marked and named."""
    if panel.line is None:
        empty_cell(axes, panel.absent)
        return None
    pair = draw_along(axes, panel.line, right=right)
    for position in (0, 1):
        axes.axvline(position, color=INK, linestyle=":", linewidth=1.0, zorder=0.5)
    middle = [tick for tick in (-0.5, 0.5, 1.5) if panel.line.alpha.min() <= tick <= panel.line.alpha.max()]
    names = [f"{position}\n{size}" for position, size in enumerate(SIZES)]
    axes.set_xticks([0, 1, *middle], [*names, *(plain_number(tick) for tick in middle)])
    return pair


@styled
def between_figure(panels: Sequence[Between]) -> Figure:
    """Return losses (left, logarithmic) and errors (right) between minimizers, side by side on common axes."""
    figure = Figure(figsize=(3.6 * len(panels) + 1.2, 4.1), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    pairs = []
    for axes, panel in zip(grid, panels, strict=True):
        headline(axes, panel.title, "\n".join(panel.subtitles))
        pairs.append(draw_between(axes, panel, right="error"))
    share_row([pairs], right="error")
    if any(pairs):
        along_legend(figure, right="error")
    return figure
