"""Networks side by side, each with several panels below one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lossatlas.report.figures.style import empty_cell, headline, headlines, panels_width


class Column(Protocol):
    """What stands in one column: a network, or the words in its place."""

    @property
    def title(self) -> str:
        """The network."""

    @property
    def subtitle(self) -> str:
        """Numbers."""

    @property
    def absent(self) -> str:
        """Why there is nothing to draw, empty where there is."""

    @property
    def known(self) -> bool:
        """Whether there is anything to draw."""


AnyColumn = TypeVar("AnyColumn", bound=Column)


def stacked_figure(
    blocks: Sequence[Sequence[AnyColumn]],
    draw: Callable[[Sequence[Axes], AnyColumn, bool], None],
    *,
    rows: int,
    height: float,
    handles: Sequence[Line2D],
) -> Figure:
    """Return blocks of networks side by side; a block in which nothing was computed is one row of empty cells.

    Args:
        blocks: the networks.
        draw: draws a network into its panels; the last argument says whether it is the first of its block.
        rows: panels per network.
        height: of a panel, inches.
        handles: the legend, left out where nothing is drawn.
    """
    counts = [rows if any(column.known for column in block) else 1 for block in blocks]
    columns = max(len(block) for block in blocks)
    size = panels_width(columns), height * sum(counts) + 0.5 * len(counts) + 0.55
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.055))
    grid = figure.subplots(sum(counts), columns, squeeze=False)
    for block, count, first in zip(blocks, counts, np.cumsum([0, *counts]), strict=False):
        heads = headlines([column.title for column in block], [column.subtitle for column in block])
        for j in range(columns):
            cells = list(grid[first : first + count, j])
            if j >= len(block):
                for axes in cells:
                    axes.set_axis_off()
                continue
            headline(cells[0], *heads[j])
            if block[j].known:
                draw(cells, block[j], j == 0)
            else:
                for axes in cells:
                    empty_cell(axes, block[j].absent)
    figure.align_ylabels()
    if any(column.known for block in blocks for column in block):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
