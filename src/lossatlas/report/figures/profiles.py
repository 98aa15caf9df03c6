"""Minimizers side by side along random directions (Figures 11 to 13 and 16 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lossatlas.report.figures.along import Pair, along_legend, draw_along, share_row
from lossatlas.report.figures.axes import label_row
from lossatlas.report.figures.style import empty_cell, folded, headline, styled
from lossatlas.results import Profile


@dataclass(frozen=True)
class ProfilePanel:
    """One cell: a profile, or the words that stand in its place."""

    title: str
    subtitle: str
    profile: Profile | None
    absent: str = ""


@styled
def profile_figure(
    rows: Sequence[Sequence[ProfilePanel]], *, row_labels: Sequence[str] = (), every: bool = False
) -> Figure:
    """Return losses (left, logarithmic) and accuracies (right) along directions, on common axes.

    Args:
        rows: the cells.
        row_labels: a name per row.
        every: draw every row of a profile, thin, instead of the first one.
    """
    columns = max(len(row) for row in rows)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(3.1 * columns + 1.6, 3.05 * len(rows) + 0.6), layout=layout)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    pairs: list[list[Pair | None]] = []
    for i, row in enumerate(rows):
        pairs.append([])
        for j in range(columns):
            if j >= len(row):
                grid[i, j].set_axis_off()
                continue
            panel = row[j]
            headline(grid[i, j], folded(panel.title), panel.subtitle)
            if panel.profile is None:
                empty_cell(grid[i, j], panel.absent)
            pairs[-1].append(draw_along(grid[i, j], panel.profile, every=every) if panel.profile else None)
            if panel.profile and i == max(k for k, other in enumerate(rows) if j < len(other)):
                grid[i, j].set_xlabel("multiple of the direction")
        if row_labels:
            label_row(grid[i, 0], row_labels[i])
    share_row(pairs)
    if any(pair for row in pairs for pair in row):
        along_legend(figure)
    return figure
