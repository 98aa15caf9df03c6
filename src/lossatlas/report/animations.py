"""Films: a training's descent over the loss about its path, and a surface from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lossatlas.report.figures.contours import Panel, contour_figure, draw_contours, loss_bar
from lossatlas.report.figures.paths import AXES, DROP, drop_points, share
from lossatlas.report.figures.scale import loss_scale
from lossatlas.report.figures.style import INK, styled
from lossatlas.report.figures.surfaces import surface_figure
from lossatlas.report.films import Film
from lossatlas.results import Plane, Trajectory

LONGEST = 120  # frames: of a path of more checkpoints some are skipped
DOTTED = 60  # checkpoints: dots of more would hide the line
Look = Literal["surface", "contours"]


def animate(
    trajectory: Trajectory,
    plane: Plane,
    path: Path | str,
    *,
    title: str = "",
    fps: float | None = None,
) -> Path:
    """Write the path of a training over the loss on its plane, a frame per checkpoint, as GIF or MP4.

    Args:
        trajectory: the path, for example of `lossatlas.trajectory(...)`.
        plane: the loss about it, spanned by the same directions.
        path: the file to write; `.gif`, or `.mp4` where ffmpeg is installed.
        title: a headline.
        fps: frames per second; absent, the film lasts about eight seconds.

    Returns:
        The file written.

    Raises:
        ValueError: another ending, no ffmpeg, an impossible rate, or a path without finite coordinates.
    """
    if not np.isfinite([trajectory.path_x, trajectory.path_y]).all():
        raise ValueError(f"the path has no finite coordinates ({trajectory.note or 'no reason noted'}); nothing moves")
    checkpoints = len(trajectory.epoch)
    shown = np.unique(np.linspace(0, checkpoints - 1, min(checkpoints, LONGEST)).round().astype(int))
    with Film(path, len(shown), fps) as film:
        _film_descent(trajectory, plane, title, [int(last) for last in shown], film)
    return Path(path)


@styled
def _film_descent(trajectory: Trajectory, plane: Plane, title: str, shown: Sequence[int], film: Film) -> Figure:
    figure, advance = _scene(trajectory, plane, title)
    for last in shown:
        advance(last)
        film.add(figure)
        figure.set_layout_engine("none")  # what the first frame arranged stays where it is
    return figure


def _scene(trajectory: Trajectory, plane: Plane, title: str) -> tuple[Figure, Callable[[int], None]]:
    """Return the loss with an empty path, and what draws the path up to a checkpoint."""
    scale = loss_scale([plane])
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, rect=(0, 0, 1, 0.985))
    figure = Figure(figsize=(6.4, 5.6), layout=layout)
    axes = figure.subplots()
    draw_contours(axes, plane, scale=scale)
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)
    x, y, drops = trajectory.path_x, trajectory.path_y, drop_points(trajectory)
    names = [f"{name}: {share(part)}" for name, part in zip(AXES[trajectory.axes], trajectory.captured, strict=True)]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    loss_bar(figure, [axes], scale=scale)
    axes.set_title(title or " ", fontsize=12, fontweight="bold", color=INK, pad=24)
    note: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    clock = axes.annotate("", xy=(0, 1), xytext=(0, 7), ha="left", **note)
    rate = axes.annotate("", xy=(1, 1), xytext=(0, 7), ha="right", color=DROP, **note)
    axes.plot(x, y, color="white", linewidth=1.4, linestyle=(0, (1, 2)))  # what is still to come
    (halo,) = axes.plot([], [], color="white", linewidth=3.4, alpha=0.9, solid_joinstyle="round")
    dots = 3.4 if len(x) <= DOTTED else 0.0
    (line,) = axes.plot([], [], color=INK, linewidth=1.3, marker="o", markersize=dots, markeredgewidth=0)
    axes.plot(x[:1], y[:1], "s", color="white", markersize=7.5, markeredgecolor=INK, markeredgewidth=1.3)
    (lowered,) = axes.plot([], [], "D", color=DROP, markersize=6, markeredgecolor="white", linestyle="", zorder=5)
    (head,) = axes.plot([], [], "o", color=INK, markersize=9, markeredgecolor="white", markeredgewidth=1.8, zorder=6)

    def advance(last: int) -> None:
        for artist in (halo, line):
            artist.set_data(x[: last + 1], y[: last + 1])
        passed = [drop for drop in drops if drop <= last]
        lowered.set_data(x[passed], y[passed])
        head.set_data(x[last : last + 1], y[last : last + 1])
        clock.set_text(f"epoch {trajectory.epoch[last]:,} of {trajectory.epoch[-1]:,}")
        times = f" {len(passed)} times" if len(passed) > 1 else ""
        rate.set_text(f"learning rate lowered{times}" if passed else "")

    return figure, advance


def animate_planes(
    planes: Sequence[Plane],
    path: Path | str,
    *,
    labels: Sequence[str],
    title: str = "",
    look: Look = "surface",
    fps: float | None = None,
) -> Path:
    """Write planes one after another on one scale, for example of several epochs of one training, as GIF or MP4.

    Args:
        planes: in the order to show.
        path: the file to write; `.gif`, or `.mp4` where ffmpeg is installed.
        labels: what to write above each, for example "epoch 10".
        title: a headline.
        look: `surface`, in perspective with logarithmic height, or `contours`, from above.
        fps: frames per second; absent, the film lasts about eight seconds.

    Returns:
        The file written.

    Raises:
        ValueError: no planes, another number of labels, another ending, no ffmpeg, or an impossible rate.
    """
    if not planes or len(labels) != len(planes):
        raise ValueError(f"{len(planes)} planes have {len(labels)} labels; pass planes, and a label for each")
    with Film(path, len(planes), fps) as film:
        _film_planes(planes, [(title or label, label if title else " ") for label in labels], look, film)
    return Path(path)


@styled
def _film_planes(planes: Sequence[Plane], heads: Sequence[tuple[str, str]], look: Look, film: Film) -> Figure:
    scale = loss_scale(planes)
    for plane, head in zip(planes, heads, strict=True):
        panel = Panel(*head, plane)
        figure = surface_figure([panel], scale=scale) if look == "surface" else contour_figure([[panel]], scale=scale)
        film.add(figure)
    return figure
