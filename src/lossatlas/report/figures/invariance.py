"""Lines through a network before and after rescalings that leave its function unchanged (section 3 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossatlas.report.figures.axes import drawable, label_row, open_frame, share_log
from lossatlas.report.figures.scale import CAP
from lossatlas.report.figures.style import CYCLE, empty_cell, headline, styled
from lossatlas.results import Profile

Dashes = Literal["-"] | tuple[float, Sequence[float]]
# from below to above: wide and pale, dashed, dotted, so that equal curves can all be seen
LAYERS: tuple[tuple[float, Dashes, str], ...] = (
    (5.5, "-", "#a6cee3"),
    (2.6, (0, (4, 2.5)), CYCLE[1]),
    (1.5, (0, (1, 1.2)), CYCLE[6]),
)


@dataclass(frozen=True)
class Rescaled:
    """One network: the same directions with and without filter normalization, None where there is nothing."""

    title: str
    filtered: Profile | None
    unnormalized: Profile | None
    subtitles: Sequence[str] = ("", "")
    absent: str = ""


@styled
def invariance_figure(networks: Sequence[Rescaled]) -> Figure:
    """Return training losses along filter-normalized (left) and unnormalized directions (right), a row per network."""
    figure = Figure(figsize=(10.5, 3.7 * len(networks) + 0.8), layout="constrained")
    grid = figure.subplots(len(networks), 2, squeeze=False)
    names: list[str] = []
    for row, network in zip(grid, networks, strict=True):
        titles = ("filter-normalized direction", "the same direction, not normalized")
        for axes, title, subtitle, profile in zip(
            row, titles, network.subtitles, (network.filtered, network.unnormalized), strict=True
        ):
            headline(axes, title, subtitle)
            if profile is None:
                empty_cell(axes, network.absent)
                continue
            _draw(axes, profile)
            names = list(profile.rows)
        share_log([axes for axes in row if axes.lines], cap=10**CAP)
        label_row(row[0], network.title)
    handles = [
        Line2D([], [], linewidth=width, linestyle=dashes, color=colour, label=name)
        for (width, dashes, colour), name in zip(LAYERS, names, strict=False)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, handlelength=3)
    return figure


def _draw(axes: Axes, profile: Profile) -> None:
    for losses, (width, dashes, colour) in zip(profile.train_loss, LAYERS, strict=False):
        axes.plot(profile.alpha, drawable(losses), linewidth=width, linestyle=dashes, color=colour)
    axes.set_xlim(float(profile.alpha.min()), float(profile.alpha.max()))
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("multiple of the direction")
    axes.set_ylabel("training loss, nats per example")
    open_frame(axes)
