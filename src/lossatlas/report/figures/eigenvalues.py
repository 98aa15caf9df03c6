"""Maps of the Hessian's extreme eigenvalues (Figure 7 of Li et al.)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter

from lossatlas.report.figures.scale import Masked
from lossatlas.report.figures.style import INK, MISSING, RED, empty_cell, headline, styled
from lossatlas.results import Floats, HessianMap, Plane

LOW, HIGH = 1e-3, 1.0  # of the ratio; what lies beyond has the outermost colour
DARK = 0.03  # below, the colours are so dark that ink does not show
SMALL = 0.01  # a ratio below which the loss is almost convex
HATCH = "////"


@dataclass(frozen=True)
class EigenvaluePanel:
    """One cell: a map with the loss on the same plane, or the words that stand in its place."""

    title: str
    subtitle: str
    map: HessianMap | None
    plane: Plane | None = None
    absent: str = ""


def colours() -> Colormap:
    """The colour map of the ratio: readable with any colour vision and in grey, and not that of losses."""
    return mpl.colormaps["cividis"].with_extremes(under="#00123a", over="#fff7b0", bad=MISSING)


def ratio(found: HessianMap) -> Masked:
    """Return |lambda_min / lambda_max| (nx, ny), masked where it is not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.abs(found.lambda_min / found.lambda_max)
    masked: Masked = np.ma.masked_array(values, mask=~(np.isfinite(values) & (values > 0)))
    return masked


def convergence(found: HessianMap) -> str:
    """Return how many points converged, and at which share of these the ratio lies below `SMALL`."""
    converged = found.computed & found.converged
    text = f"{converged.sum():,} of {converged.size:,} points converged"
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.abs(found.lambda_min / found.lambda_max)[converged]
    values = values[np.isfinite(values)]
    return f"{text}, {100 * (values < SMALL).mean():.0f} % of these below {SMALL:g}" if values.size else text


@styled
def eigenvalue_figure(panels: Sequence[EigenvaluePanel], *, initialization: float | None = None) -> Figure:
    """Return maps of |lambda_min / lambda_max| side by side on one logarithmic colour scale.

    Args:
        panels: the cells; points that did not converge are hatched, missing ones grey.
        initialization: the loss that is drawn as a dashed line where the loss on the plane is known.
    """
    figure = Figure(figsize=(3.5 * len(panels) + 1.5, 4.6), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    norm = LogNorm(LOW, HIGH)
    for axes, panel in zip(grid, panels, strict=True):
        headline(axes, panel.title, panel.subtitle)
        axes.set_box_aspect(1)
        if panel.map is None:
            empty_cell(axes, panel.absent)
            continue
        _draw_map(axes, panel.map, norm)
        if panel.plane and initialization is not None:
            _draw_level(axes, panel.plane, initialization)
        axes.set_xlabel("multiple of direction x")
    first = next((axes for axes, panel in zip(grid, panels, strict=True) if panel.map), None)
    if first is not None:
        first.set_ylabel("multiple of direction y")
        bar = figure.colorbar(
            ScalarMappable(norm=norm, cmap=colours()), ax=list(grid), extend="both", aspect=26, shrink=0.9, pad=0.015
        )
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.set_label(r"$|\lambda_\mathrm{min}\,/\,\lambda_\mathrm{max}|$ of the Hessian")
        handles = _handles(panels, initialization)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _edges(points: Floats) -> Floats:
    """Return the borders of cells about points."""
    if len(points) == 1:
        return np.array([points[0] - 0.5, points[0] + 0.5])
    middles = (points[1:] + points[:-1]) / 2
    return np.concatenate(([2 * points[0] - middles[0]], middles, [2 * points[-1] - middles[-1]]))


def _draw_map(axes: Axes, found: HessianMap, norm: LogNorm) -> None:
    values, xs, ys = ratio(found), _edges(found.x), _edges(found.y)
    axes.set_facecolor(MISSING)
    axes.pcolormesh(xs, ys, values.T, norm=norm, cmap=colours(), rasterized=True)  # (nx, ny) to rows of y
    for i, j in np.argwhere(found.computed & ~found.converged & ~np.ma.getmaskarray(values)):
        cell = Rectangle(
            (xs[i], ys[j]),
            xs[i + 1] - xs[i],
            ys[j + 1] - ys[j],
            fill=False,
            hatch=HATCH,
            edgecolor="white" if values[i, j] < DARK else INK,
            linewidth=0,
        )
        axes.add_patch(cell)
    axes.plot([0], [0], marker="+", color="white", markersize=11, markeredgewidth=3.0)
    axes.plot([0], [0], marker="+", color=INK, markersize=10, markeredgewidth=1.4)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_ylim(ys[0], ys[-1])
    axes.locator_params(nbins=5)


def _draw_level(axes: Axes, plane: Plane, level: float) -> None:
    limits = axes.get_xlim(), axes.get_ylim()
    losses = np.ma.masked_invalid(plane.train_loss).T
    if min(losses.shape) < 2:
        return
    with warnings.catch_warnings():  # a level that a surface does not reach is no fault
        warnings.filterwarnings("ignore", message="No contour levels were found")
        axes.contour(plane.x, plane.y, losses, [level], colors="white", linewidths=2.6, alpha=0.9)
        axes.contour(plane.x, plane.y, losses, [level], colors=RED, linewidths=1.5, linestyles="--")
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def _handles(panels: Sequence[EigenvaluePanel], initialization: float | None) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="", marker="+", color=INK, markersize=10, markeredgewidth=1.4, label="trained weights")
    ]
    maps = [panel.map for panel in panels if panel.map]
    if initialization is not None and any(panel.plane for panel in panels):
        handles.append(Line2D([], [], linestyle="--", color=RED, label=f"loss {initialization:g}"))
    if any((found.computed & ~found.converged).any() for found in maps):
        handles.append(Patch(facecolor="#c8b866", hatch=HATCH, edgecolor=INK, label="not converged"))
    if any(np.ma.getmaskarray(ratio(found)).any() for found in maps):
        handles.append(Patch(color=MISSING, label="no value"))
    return handles
