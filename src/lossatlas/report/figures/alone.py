"""One surface or line by itself: levels and axes fitted to it, whatever its loss is."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from lossatlas.report.figures.axes import percent_axis
from lossatlas.report.figures.scale import CAP, DECADES
from lossatlas.report.figures.style import CYCLE, INK, MISSING, folded, headline, styled
from lossatlas.results import Floats, Line, Plane

LEVELS = 24
WIDE = 20.0  # a range of losses beyond this factor is drawn on a logarithmic scale
_STYLES = {"train": "-", "test": "--"}


def quantity(result: Plane | Line) -> str:
    """Return what the loss is called: cross-entropies have a unit, a loss of one's own has a name."""
    if "loss" not in result.provenance:
        return "loss, nats per example"
    name = str(result.provenance["loss"]).rpartition(".")[2]
    return f"loss ({name})" if name.isidentifier() else "loss"


def wide(values: Floats) -> bool:
    """Tell whether finite values are positive and span so much that a logarithmic scale shows more."""
    return bool(values.size and values.min() > 0 and values.max() > WIDE * values.min())


@styled
def surface_figure(result: Plane, *, title: str = "") -> Figure:
    """Return filled contours of a plane's training loss, its levels fitted to the finite values.

    Losses beyond 100, and more than five decades above the lowest, share one colour.
    """
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    headline(axes, folded(title), "")
    axes.set_box_aspect(1)
    axes.set_facecolor(MISSING)
    finite = result.train_loss[np.isfinite(result.train_loss)]
    if finite.size:
        _draw_surface(figure, axes, result, finite)
    axes.plot([0], [0], marker="+", color="white", markersize=11, markeredgewidth=3.0)
    axes.plot([0], [0], marker="+", color=INK, markersize=10, markeredgewidth=1.4)
    axes.set_xlabel("multiple of direction x")
    axes.set_ylabel("multiple of direction y")
    return figure


def _draw_surface(figure: Figure, axes: Axes, result: Plane, finite: Floats) -> None:
    low, high = float(finite.min()), float(finite.max())
    logarithmic = wide(finite)
    if logarithmic:
        high = min(high, max(10**CAP, 10 * low), low * 10**DECADES)
        levels = np.geomspace(low, high, LEVELS + 1)
    else:
        levels = np.asarray(MaxNLocator(LEVELS).tick_values(low, high))
    drawn: Any = np.ma.masked_invalid(result.train_loss).T  # (nx, ny) to rows of y
    drawn = np.ma.maximum(drawn, levels[0])
    norm = (LogNorm if logarithmic else Normalize)(levels[0], levels[-1])
    colours = mpl.colormaps["viridis"].with_extremes(over="#fffbd6", bad=MISSING)
    if min(drawn.shape) < 2:  # no area: cells instead of contours
        filled: Any = axes.pcolormesh(_edges(result.x), _edges(result.y), drawn, norm=norm, cmap=colours)
    else:
        extend = "max" if float(finite.max()) > levels[-1] else "neither"
        filled = axes.contourf(result.x, result.y, drawn, levels, norm=norm, cmap=colours, extend=extend)
        axes.contour(result.x, result.y, drawn, levels, colors=INK, linewidths=0.4, alpha=0.5)
    bar = figure.colorbar(filled, ax=axes, pad=0.02)
    if logarithmic:
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    else:
        bar.ax.yaxis.set_major_locator(MaxNLocator(6))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    bar.ax.minorticks_off()
    bar.set_label(f"training {quantity(result)}")


def _edges(points: Floats) -> Floats:
    """Return the borders of cells about points in any order."""
    if len(points) == 1:
        return np.array([points[0] - 0.5, points[0] + 0.5])
    middles = (points[1:] + points[:-1]) / 2
    return np.concatenate(([2 * points[0] - middles[0]], middles, [2 * points[-1] - middles[-1]]))


@styled
def along_figure(result: Line, *, title: str = "") -> Figure:
    """Return the losses along a line and, on a second vertical axis, the accuracies, as far as there are any."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    headline(axes, folded(title), "")
    losses, accuracies = (
        {source: found for source in _STYLES if np.isfinite(found := getattr(result, f"{source}_{kind}")).any()}
        for kind in ("loss", "accuracy")
    )
    values = np.concatenate([found[np.isfinite(found)] for found in losses.values()] or [np.zeros(0)])
    if wide(values):
        axes.set_yscale("log")
    for source, found in losses.items():
        drawn = np.where(np.isfinite(found), found, np.nan)
        axes.plot(result.alpha, drawn, _STYLES[source], color=CYCLE[0], label=f"{source} loss")
    axes.set_ylabel(quantity(result), color=CYCLE[0])
    axes.set_xlabel("multiple of the direction")
    axes.spines["top"].set_visible(False)
    if accuracies:
        twin = axes.twinx()
        for source, found in accuracies.items():
            twin.plot(result.alpha, found, _STYLES[source], color=CYCLE[1], label=f"{source} accuracy")
        twin.set_ylim(0, 1.02)
        twin.set_ylabel("accuracy", color=CYCLE[1])
        twin.spines["top"].set_visible(False)
        percent_axis(twin.yaxis)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
