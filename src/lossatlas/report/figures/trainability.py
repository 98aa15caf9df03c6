"""What decides whether deep networks train: the loss they start from and the gradients they meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lossatlas.report.figures.axes import drawable, open_frame, share_log
from lossatlas.report.figures.curves import Curve
from lossatlas.report.figures.style import CYCLE, INK, RED, empty_cell, headline, styled

DASHES = ("-", "--")  # with shortcuts, without
FILLS = ("full", "none")


@dataclass(frozen=True)
class Cosines:
    """Mean cosine of gradients of different mini-batches, at the trained weights and at points far away."""

    label: str
    centre: float
    far: Sequence[float]


@dataclass(frozen=True)
class Trainability:
    """What the figure shows.

    Attributes:
        initial: scheme, then network kind (with shortcuts, without): depth to losses at initialization, one per seed.
        convex: network kind: depth to the lowest loss at which the surface is not convex.
        cosines: a row per network.
        curves: training of the deepest networks.
        level: the loss that is drawn as a dashed line.
    """

    initial: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]
    convex: Mapping[str, Mapping[int, float]]
    cosines: Sequence[Cosines]
    curves: Sequence[Curve]
    level: float
    absent: str = ""


@styled
def trainability_figure(found: Trainability) -> Figure:
    """Return losses at initialization, losses where convexity ends, cosines of gradients, and the deepest networks."""
    figure = Figure(figsize=(12.8, 10.2), layout="constrained")
    ((start, convex), (cosines, curves)) = figure.subplots(2, 2)
    headline(start, "loss at initialization", "batch statistics; mean and range over seeds")
    headline(convex, "lowest loss without convexity", "on the plane about the trained weights")
    headline(cosines, "gradients of different mini-batches", "mean cosine between them")
    headline(curves, "training the deepest networks", "training loss against epochs")
    _initial(start, found)
    _convex(convex, found)
    for axes in (start, convex):
        _level(axes, found.level)
    share_log([axes for axes in (start, convex) if axes.lines])
    _cosines(cosines, found)
    _curves(curves, found)
    return figure


def _level(axes: Axes, level: float) -> None:
    if axes.lines:
        # across the whole panel, and within its range
        low, high = axes.get_xlim()
        axes.plot([low, high], [level, level], color=RED, linestyle="--", linewidth=1.4, zorder=1)
        axes.set_xlim(low, high)
        axes.text(high, level * 1.04, f"{level:g} ", color=RED, ha="right", va="bottom", fontsize=9.5)


def _depth_axis(axes: Axes, depths: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(set(depths))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(min(depths) / 1.15, max(depths) * 1.15)
    axes.set_xlabel("depth")
    axes.set_ylabel("loss, nats per example")
    open_frame(axes)


def _initial(axes: Axes, found: Trainability) -> None:
    depths: list[int] = []
    for i, (scheme, kinds) in enumerate(found.initial.items()):
        for j, (kind, losses) in enumerate(kinds.items()):
            known = {depth: drawable(values) for depth, values in losses.items()}
            known = {depth: values[np.isfinite(values)] for depth, values in known.items()}
            known = {depth: values for depth, values in sorted(known.items()) if len(values)}
            if not known:
                continue
            depths += known
            colour = CYCLE[i % len(CYCLE)]
            means = [float(values.mean()) for values in known.values()]
            axes.plot(
                list(known), means, DASHES[j], color=colour, marker="o", fillstyle=FILLS[j], label=f"{scheme}, {kind}"
            )
            axes.vlines(list(known), [v.min() for v in known.values()], [v.max() for v in known.values()], color=colour)
    if not depths:
        empty_cell(axes, found.absent)
        return
    _depth_axis(axes, depths)
    axes.legend(frameon=False, fontsize=9.5, loc="best")


def _convex(axes: Axes, found: Trainability) -> None:
    depths: list[int] = []
    for j, (kind, levels) in enumerate(found.convex.items()):
        known = {depth: level for depth, level in sorted(levels.items()) if np.isfinite(level) and level > 0}
        depths += known
        if known:
            axes.plot(
                list(known), list(known.values()), DASHES[j], color=INK, marker="o", fillstyle=FILLS[j], label=kind
            )
    if not depths:
        empty_cell(axes, found.absent)
        return
    _depth_axis(axes, depths)
    axes.legend(frameon=False, fontsize=9.5, loc="best")


def _cosines(axes: Axes, found: Trainability) -> None:
    if not found.cosines:
        empty_cell(axes, found.absent)
        return
    rows = np.arange(len(found.cosines))[::-1]
    for y, item in zip(rows, found.cosines, strict=True):
        reach = [item.centre, *item.far]
        axes.plot([np.nanmin(reach), np.nanmax(reach)], [y, y], color="#c8c8c8", zorder=1)
        axes.plot(item.far, np.full(len(item.far), y), "D", color=CYCLE[1], markersize=5.5, alpha=0.75)
        axes.plot([item.centre], [y], "o", color=CYCLE[0], markersize=8)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(rows, [item.label for item in found.cosines])
    axes.set_ylim(-1.9, len(rows) - 0.4)  # room for the legend
    axes.set_xlabel("cosine")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=CYCLE[0], markersize=8, label="trained weights"),
        Line2D([], [], linestyle="", marker="D", color=CYCLE[1], markersize=5.5, label="far away, four points"),
    ]
    open_frame(axes)
    axes.legend(handles=handles, frameon=False, fontsize=9.5, loc="lower center", ncols=2)


def _curves(axes: Axes, found: Trainability) -> None:
    drawn = [curve for curve in found.curves if curve.history]
    if not drawn:
        empty_cell(axes, found.absent)
        return
    for i, curve in enumerate(found.curves):
        if curve.history:
            loss = drawable(curve.history.train_loss)
            axes.plot(curve.history.epoch, loss, color=CYCLE[i % len(CYCLE)], linewidth=1.7)
    share_log([axes])
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss, nats per example")
    open_frame(axes)
    handles = [
        Line2D([], [], color=CYCLE[i % len(CYCLE)] if curve.history else "none", linewidth=2.2, label=curve.label)
        for i, curve in enumerate(found.curves)
    ]
    axes.legend(handles=handles, frameon=False, fontsize=9.5, loc="best")
