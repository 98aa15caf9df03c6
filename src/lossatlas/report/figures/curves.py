"""Convergence curves (Figures 18 and 19 of Li et al.)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lossatlas.report.figures.axes import open_frame, percent_axis, share_log
from lossatlas.report.figures.style import CYCLE, INK, QUIET, empty_cell, folded, styled
from lossatlas.results import History

LABEL = 36  # characters of a label that fit beside the panels


@dataclass(frozen=True)
class Curve:
    """One run's history under the label of the legend; None where it was not run."""

    label: str
    history: History | None


@styled
def convergence_figure(groups: Mapping[str, Sequence[Curve]]) -> Figure:
    """Return losses (left, logarithmic) and errors (right) against epochs, a row per group with its legend.

    Training is solid, test dashed; the panels of a column share their vertical axis.
    """
    lines = [[1 + folded(curve.label, LABEL).count("\n") for curve in curves] for curves in groups.values()]
    heights = [max(2.75, 0.185 * sum(found) + 0.05 * len(found) + 0.5) for found in lines]
    figure = Figure(figsize=(12.5, sum(heights) + 0.7), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    grid = figure.subplots(len(groups), 3, squeeze=False, width_ratios=(4.2, 4.2, 3.6), height_ratios=heights)
    for i, (name, curves) in enumerate(groups.items()):
        for j, kind in enumerate(("loss", "error")):
            if any(curve.history for curve in curves):
                _draw(grid[i, j], curves, kind)
            else:
                empty_cell(grid[i, j], "not run")
        _legend(grid[i, 2], name, curves)
    grid[0, 0].set_title("loss, nats per example")
    grid[0, 1].set_title("error")
    share_log([axes for axes in grid[:, 0] if axes.lines])
    errors = [axes for axes in grid[:, 1] if axes.lines]
    high = max((axes.get_ylim()[1] for axes in errors), default=1)
    for axes in errors:
        axes.set_ylim(0, high)
    for axes in grid[-1, :2]:
        if axes.lines:
            axes.set_xlabel("epoch")
    styles = [Line2D([], [], color=INK, linestyle=style) for style in ("-", "--")]
    figure.legend(styles, ["training set", "test set"], loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axes: Axes, curves: Sequence[Curve], kind: str) -> None:
    for i, curve in enumerate(curves):
        if curve.history is None:
            continue
        for source, style in (("train", "-"), ("test", "--")):
            values = np.asarray(getattr(curve.history, f"{source}_{kind}"), dtype=np.float64)
            drawable = np.isfinite(values) & ((values > 0) | (kind == "error"))
            values = np.where(drawable, values, np.nan)
            axes.plot(curve.history.epoch, values, style, color=CYCLE[i % len(CYCLE)], linewidth=1.5)
    if kind == "error":
        percent_axis(axes.yaxis)
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    open_frame(axes)


def _legend(axes: Axes, name: str, curves: Sequence[Curve]) -> None:
    axes.set_axis_off()
    handles = [
        Line2D([], [], color=CYCLE[i % len(CYCLE)] if curve.history else "none", linewidth=2.2)
        for i, curve in enumerate(curves)
    ]
    legend = axes.legend(
        handles,
        [folded(curve.label, LABEL) for curve in curves],
        title=name,
        title_fontproperties={"weight": "bold", "size": 12},
        alignment="left",
        loc="center left",
        frameon=False,
        borderpad=0,
        labelspacing=0.55,
    )
    legend.set_in_layout(False)
    for text, curve in zip(legend.get_texts(), curves, strict=True):
        text.set_color(INK if curve.history else QUIET)
