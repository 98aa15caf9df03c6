"""Losses and accuracies or errors along one direction in one panel: loss on the left, the other on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lossatlas.report.figures.axes import drawable, percent_axis, share_log
from lossatlas.report.figures.scale import CAP
from lossatlas.report.figures.style import CYCLE
from lossatlas.results import Line, Profile

LOSS, RIGHT = CYCLE[0], CYCLE[1]
STYLES: dict[str, Literal["-", "--"]] = {"train": "-", "test": "--"}
Pair = tuple[Axes, Axes]
Quantity = Literal["accuracy", "error"]  # on the right


def draw_along(axes: Axes, result: Line | Profile, *, every: bool = False, right: Quantity = "accuracy") -> Pair:
    """Draw losses and, on a second vertical axis, accuracies or errors.

    Args:
        axes: an empty panel.
        result: a line, or a profile of which the first row is drawn.
        every: draw every row, thin.
        right: what stands on the right; an error is 1 - accuracy.

    Returns:
        The axes of losses and of accuracies or errors.
    """
    twin = axes.twinx()
    rows = slice(None) if every else slice(0, 1)
    width, opacity = (0.8, 0.75) if every else (1.6, 1.0)
    for source, dashes in STYLES.items():
        losses = drawable(np.atleast_2d(getattr(result, f"{source}_loss"))[rows])
        accuracies = np.atleast_2d(getattr(result, f"{source}_accuracy"))[rows]
        shares = accuracies if right == "accuracy" else 1 - accuracies
        for loss, share in zip(losses, shares, strict=True):
            twin.plot(result.alpha, share, dashes, color=RIGHT, linewidth=width, alpha=opacity)
            axes.plot(result.alpha, loss, dashes, color=LOSS, linewidth=width, alpha=opacity)
    axes.set_yscale("log")
    axes.set_xlim(float(result.alpha.min()), float(result.alpha.max()))
    axes.locator_params(axis="x", nbins=5)
    twin.set_ylim((0, 1.02) if right == "accuracy" else (-0.02, 1))  # room beside the best value
    percent_axis(twin.yaxis)
    axes.spines["top"].set_visible(False)
    twin.spines["top"].set_visible(False)
    return axes, twin


def share_row(rows: Sequence[Sequence[Pair | None]], *, right: Quantity = "accuracy") -> None:
    """Give all losses one range and label each row at its outer panels only."""
    share_log([pair[0] for row in rows for pair in row if pair], cap=10**CAP)
    for row in rows:
        drawn = [pair for pair in row if pair]
        for i, (axes, twin) in enumerate(drawn):
            axes.tick_params(axis="y", labelleft=i == 0, which="both")
            twin.tick_params(axis="y", labelright=i == len(drawn) - 1)
        if drawn:
            drawn[0][0].set_ylabel("loss, nats per example", color=LOSS)
            drawn[-1][1].set_ylabel(right, color=RIGHT)


def along_legend(figure: Figure, extra: Sequence[Line2D | Patch] = (), *, right: Quantity = "accuracy") -> None:
    """Explain the colours and dashes below the panels."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linestyle=dashes, label=f"{source} {name}")
        for name, colour in (("loss", LOSS), (right, RIGHT))
        for source, dashes in STYLES.items()
    ]
    handles += extra
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
