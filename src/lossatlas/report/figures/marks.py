"""Points on planes: trained weights and bends under their names, snapshots by number, the start of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from lossatlas.report.figures.style import CYCLE, INK

POINT, BEND = "white", CYCLE[1]
EDGE: dict[str, Any] = {"linestyle": "", "markeredgecolor": INK, "markeredgewidth": 1.2}
SMALL, LARGE = 8.0, 14.0  # a number has room in the large one
GAP, TALL, WIDE = 8.0, 14.0, 6.5  # points: between a point and its name; the name's height and width of a letter


@dataclass(frozen=True)
class Mark:
    """A point of a plane under its name; `number` is written inside it in place of a name beside it."""

    x: float
    y: float
    name: str = ""
    bend: bool = False
    number: str = ""


def draw_mark(axes: Axes, mark: Mark, *, middle: float, size: tuple[float, float]) -> None:
    """Draw a point; its name stands on the side away from the other points, inside the axes.

    Args:
        axes: the plane, with its limits set.
        mark: the point.
        middle: the mean height of all points.
        size: width and height of the axes in typographic points, at least.
    """
    symbol, colour, dots = ("D", BEND, SMALL) if mark.bend else ("o", POINT, LARGE if mark.number else SMALL)
    axes.plot(mark.x, mark.y, marker=symbol, color=colour, markersize=dots, zorder=4, **EDGE)
    if mark.number:
        style: dict[str, Any] = {"fontsize": 8.5, "fontweight": "bold", "color": INK, "zorder": 5}
        axes.text(mark.x, mark.y, mark.number, ha="center", va="center_baseline", **style)
        return
    (left, right), (down, up) = _room(mark.x, axes.get_xlim(), size[0]), _room(mark.y, axes.get_ylim(), size[1])
    below = (mark.y <= middle and down >= GAP + TALL) or up < GAP + TALL
    half = WIDE * len(mark.name) / 2
    shift = max(half - left, 0.0) - max(half - right, 0.0)
    axes.annotate(
        mark.name,
        xy=(mark.x, mark.y),
        xytext=(shift, -GAP if below else GAP),
        textcoords="offset points",
        ha="center",
        va="top" if below else "bottom",
        fontsize=10,
        color=INK,
        path_effects=[withStroke(linewidth=2.6, foreground="white")],
        zorder=5,
    )


def _room(place: float, limits: tuple[float, float], length: float) -> tuple[float, float]:
    """Return how far, in typographic points, a place is from the lower and the upper end of an axis."""
    share = (place - limits[0]) / (limits[1] - limits[0])
    return share * length, (1 - share) * length


def draw_start(axes: Axes, x: float, y: float) -> None:
    """Draw where a training starts."""
    axes.plot(x, y, marker="s", color=POINT, markersize=SMALL, **EDGE)


def start_handle() -> Line2D:
    """Return the legend of that point."""
    return Line2D([], [], marker="s", color=POINT, markersize=SMALL, label="initialization", **EDGE)


def mark_handles(marks: Sequence[Mark]) -> list[Line2D]:
    """Return the legend of points, of the kinds that there are."""
    kinds = (
        (any(not mark.bend and not mark.number for mark in marks), "o", POINT, SMALL, "trained weights"),
        (any(mark.bend for mark in marks), "D", BEND, SMALL, "bend of the curve"),
        (any(mark.number for mark in marks), "o", POINT, LARGE, "snapshot, numbered"),
    )
    return [
        Line2D([], [], marker=symbol, color=colour, markersize=size, label=label, **EDGE)
        for there, symbol, colour, size, label in kinds
        if there
    ]
