"""From the small-batch to the large-batch minimizer: losses, weight norms and weights (Figure 2 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lossatlas.report.figures.along import Pair, along_legend, share_row
from lossatlas.report.figures.axes import label_row, open_frame, plain_number
from lossatlas.report.figures.between import Between, draw_between
from lossatlas.report.figures.norms import COLOURS, draw_norms, share_from_zero, size_handles
from lossatlas.report.figures.style import empty_cell, headline, styled
from lossatlas.results import Floats, History, Line, WeightHistogram

BARS = 60  # across the panel; the stored bins are finer


@dataclass(frozen=True)
class Interpolation:
    """One weight decay: the line between two minimizers, and what is known of the small and the large batch."""

    label: str
    subtitles: Sequence[str]  # test errors: small batch, large batch
    line: Line | None
    histories: Sequence[History | None]
    weights: Sequence[WeightHistogram | None]
    absent: str = ""


@styled
def interpolation_figure(rows: Sequence[Interpolation]) -> Figure:
    """Return interpolations (left), weight norms against epochs (middle) and histograms of weights (right).

    A row per weight decay; the panels of a column share their axes.
    """
    figure = Figure(figsize=(13.4, 3.75 * len(rows) + 0.7), layout="constrained")
    grid = figure.subplots(len(rows), 3, squeeze=False, width_ratios=(1.25, 1, 1))
    pairs: list[Sequence[Pair | None]] = []
    for i, row in enumerate(rows):
        headline(grid[i, 0], "interpolation", "\n".join(row.subtitles))
        for axes, title in ((grid[i, 1], "weight norm"), (grid[i, 2], "weights after training")):
            headline(axes, title, "\n".join(" " for _ in row.subtitles))  # all titles at one height
        pairs.append([draw_between(grid[i, 0], Between("", row.subtitles, row.line, row.absent))])
        _norms(grid[i, 1], row)
        label_row(grid[i, 0], row.label)
    share_row(pairs)
    _histograms(list(grid[:, 2]), rows)
    share_from_zero(list(grid[:, 1]))
    along_legend(figure, size_handles())
    return figure


def _norms(axes: Axes, row: Interpolation) -> None:
    if not any(row.histories):
        empty_cell(axes, row.absent)
        return
    draw_norms(axes, row.histories)
    axes.set_xlabel("epoch")
    axes.set_ylabel("L2 norm of the weights")


def _histograms(panels: Sequence[Axes], rows: Sequence[Interpolation]) -> None:
    found = [histogram for row in rows for histogram in row.weights if histogram is not None]
    reach = 1.15 * max((_bulk(histogram) for histogram in found), default=1.0)
    for axes, row in zip(panels, rows, strict=True):
        if not any(row.weights):
            empty_cell(axes, row.absent)
            continue
        for histogram, colour in zip(row.weights, COLOURS, strict=True):
            if histogram is not None:
                edges, density = coarse(histogram, reach=reach)
                axes.stairs(density, edges, color=colour, linewidth=1.6)
                axes.stairs(density, edges, color=colour, fill=True, alpha=0.12)
        axes.set_xlim(-reach, reach)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
        axes.set_xlabel("weight")
        axes.set_ylabel("density")
        open_frame(axes)


def _bulk(histogram: WeightHistogram) -> float:
    """Return the absolute value below which 99 % of the weights lie."""
    return float(np.interp(0.99, histogram.level, histogram.quantile))


def coarse(histogram: WeightHistogram, *, reach: float) -> tuple[Floats, Floats]:
    """Return edges and density of a histogram in about `BARS` bars within +-`reach`.

    Args:
        histogram: the stored one, with fine bins.
        reach: the largest absolute weight to show.
    """
    width = float(histogram.edge[1] - histogram.edge[0])
    factor = max(1, round(2 * reach / BARS / width))
    bins = len(histogram.count) // factor * factor
    start = (len(histogram.count) - bins) // 2
    counts = histogram.count[start : start + bins].reshape(-1, factor).sum(axis=1)
    edges = histogram.edge[start : start + bins + 1 : factor]
    inside = (edges[1:] > -reach) & (edges[:-1] < reach)
    first, last = int(np.argmax(inside)), int(len(inside) - np.argmax(inside[::-1]))
    density = counts[first:last] / max(histogram.count.sum(), 1) / (factor * width)
    return edges[first : last + 1], density
