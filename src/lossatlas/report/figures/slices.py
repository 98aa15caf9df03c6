"""Curvatures of random slices through a small network beside its full spectrum (section 6 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lossatlas.report.figures.axes import open_frame, plain_number
from lossatlas.report.figures.style import CYCLE, INK, RED, empty_cell, headline, styled
from lossatlas.results import SliceCurvatures

TITLES = ("along random directions", "all eigenvalues", "random two-dimensional slices")
BINS = 40


@styled
def slice_figure(found: SliceCurvatures | None, *, absent: str = "", subtitles: Sequence[str] = ("", "", "")) -> Figure:
    """Return measured beside predicted curvatures, the full spectrum, and principal curvatures of slices.

    Args:
        found: the curvatures, None where they were not computed.
        absent: the words that then stand in the panels.
        subtitles: a line of numbers per panel.
    """
    figure = Figure(figsize=(13.2, 4.3), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, title, subtitle in zip(panels, TITLES, subtitles, strict=True):
        headline(axes, title, subtitle)
    if found is None:
        for axes in panels:
            empty_cell(axes, absent)
        return figure
    _histograms(panels[0], found)
    _spectrum(panels[1], found)
    _principal(panels[2], found)
    for axes in panels:
        open_frame(axes)
    return figure


def _histograms(axes: Axes, found: SliceCurvatures) -> None:
    edges = np.histogram_bin_edges(np.concatenate([found.measured, found.weighted]), BINS)
    both = ((found.measured, CYCLE[0], "measured, d'Hd / d'd"), (found.weighted, CYCLE[1], "weighted eigenvalues"))
    for values, colour, label in both:
        counts, _ = np.histogram(values, edges, density=True)
        axes.stairs(counts, edges, color=colour, linewidth=1.7, label=label)
        axes.stairs(counts, edges, color=colour, fill=True, alpha=0.12)
    mean = float(found.eigenvalue.mean())
    axes.axvline(mean, color=INK, linestyle=":", linewidth=1.2, label="mean eigenvalue")
    axes.set_xlabel("curvature")
    axes.set_ylabel("density")
    axes.set_ylim(top=1.32 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right", frameon=False, fontsize=9.5)


def _spectrum(axes: Axes, found: SliceCurvatures) -> None:
    values = np.sort(found.eigenvalue)[::-1]
    threshold = max(float(np.median(np.abs(values))), 1e-12)
    negative = values < 0
    order = np.arange(1, len(values) + 1)
    axes.plot(order[~negative], values[~negative], ".", color=CYCLE[0], markersize=4, label="positive")
    axes.plot(order[negative], values[negative], ".", color=RED, markersize=4, label="negative")
    axes.set_yscale("symlog", linthresh=threshold)
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_xlabel("rank")
    axes.set_ylabel("eigenvalue of the Hessian")
    axes.legend(loc="upper right", frameon=False, fontsize=9.5)


def _principal(axes: Axes, found: SliceCurvatures) -> None:
    nonconvex = found.slice_min < 0
    for mask, colour, label in ((~nonconvex, CYCLE[0], "convex"), (nonconvex, RED, "not convex")):
        axes.plot(
            found.slice_max[mask], found.slice_min[mask], "o", color=colour, markersize=3.5, alpha=0.6, label=label
        )
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_xlabel("larger principal curvature")
    axes.set_ylabel("smaller principal curvature")
    axes.set_ylim(top=axes.get_ylim()[1] + 0.3 * float(np.ptp(axes.get_ylim())))
    axes.legend(loc="upper left", frameon=False, fontsize=9.5)
