"""Surfaces in perspective (Figures 1 and 4 of Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.axes3d import Axes3D

from lossatlas.report.figures.contours import Panel
from lossatlas.report.figures.scale import LossScale, log_loss
from lossatlas.report.figures.style import empty_cell, headline, styled

FINEST = 101  # quads per axis that still show at this size
LINEAR_CAP = 10.0  # nats: with a linear height anything below would vanish beside the highest losses


@styled
def surface_figure(panels: Sequence[Panel], *, scale: LossScale, log_z: bool = True) -> Figure:
    """Return surfaces of the training loss side by side, coloured and cut off by one scale.

    Args:
        panels: the cells.
        scale: colours, and the range of the vertical axis.
        log_z: whether height is the logarithm of the loss (chaotic surfaces span decades) or the loss itself.
    """
    figure = Figure(figsize=(5.4 * len(panels) + 1.2, 5.3))
    right = 1 - 1.1 / figure.get_figwidth()
    width = right / len(panels)
    for i, panel in enumerate(panels):
        if panel.plane is None:
            axes = figure.add_axes((i * width + 0.14 * width, 0.12, 0.72 * width, 0.7))
            headline(axes, panel.title, panel.subtitle)
            empty_cell(axes, panel.absent)
            continue
        figure.text((i + 0.5) * width, 0.945, panel.title, ha="center", va="bottom", fontsize=13, fontweight="bold")
        figure.text((i + 0.5) * width, 0.93, panel.subtitle, ha="center", va="top", fontsize=11)
        axes = figure.add_axes((i * width + 0.01, 0.0, width - 0.02, 0.93), projection="3d")
        _draw_surface(axes, panel, scale=scale, log_z=log_z)
    if any(panel.plane for panel in panels):
        bar = figure.colorbar(
            ScalarMappable(norm=scale.norm, cmap=scale.colours),
            cax=figure.add_axes((right + 0.012, 0.16, 0.016, 0.66)),
            ticks=scale.ticks,
            format=scale.labels,
        )
        bar.set_label("training loss, nats per example")
    return figure


def _draw_surface(axes: Axes3D, panel: Panel, *, scale: LossScale, log_z: bool) -> None:
    plane = panel.plane
    assert plane is not None  # only panels with a plane come here
    logs = np.ma.minimum(log_loss(plane.train_loss, scale=scale), scale.high).filled(np.nan)
    heights = logs if log_z else np.minimum(10**logs, LINEAR_CAP)
    xs, ys = np.meshgrid(plane.x, plane.y, indexing="ij")  # all (nx, ny)
    colours = scale.colours(scale.norm(np.nan_to_num(logs, nan=scale.low)))
    axes.plot_surface(
        xs,
        ys,
        heights,
        facecolors=colours,
        rcount=min(FINEST, len(plane.x)),
        ccount=min(FINEST, len(plane.y)),
        linewidth=0.15,
        edgecolor=(0, 0, 0, 0.22),
        shade=False,
    )
    top = scale.high if log_z else min(10**scale.high, LINEAR_CAP)
    axes.set_zlim(scale.low if log_z else 0, top)
    if log_z:
        axes.zaxis.set_major_locator(scale.ticks)
        axes.zaxis.set_major_formatter(scale.labels)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("direction x", labelpad=9)
    axes.set_ylabel("direction y", labelpad=9)
    axes.view_init(elev=32, azim=-55)
    axes.set_box_aspect((1, 1, 0.8), zoom=0.92)
