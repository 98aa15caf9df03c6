"""Colours of the three ways to ensembles, and the circles that mark their members, the same in every figure."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lossatlas.report.figures.style import CYCLE, INK
from lossatlas.results import Floats

COLOURS = {"ind": CYCLE[0], "sse": CYCLE[2], "fge": CYCLE[1]}
STYLE = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgewidth": 1.5}


def mark_members(axes: Axes, x: Floats, y: Floats, *, colour: str) -> None:
    """Mark where the weights of members are taken."""
    size = 7.0 if len(x) <= 12 else 4.5
    axes.plot(x, y, markersize=size, markeredgecolor=colour, label="member", zorder=4, clip_on=False, **STYLE)  # type: ignore[arg-type]


def member_handle() -> Line2D:
    """Return the legend of these marks."""
    return Line2D([], [], markersize=7, markeredgecolor=INK, label="weights taken as a member", **STYLE)  # type: ignore[arg-type]
