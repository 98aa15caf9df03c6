"""Where the surface over a plane is convex, from differences between the points of its grid.

The answer belongs to the grid: a finer one sees smaller waves. Thin planes to one grid before comparing them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lossatlas.results import Floats, Mask, Plane

# of the larger principal curvature: up to it a negative one counts as none, the paper's bound for "nearly convex"
# (Li et al. 2018, Figure 7)
FLAT = 0.01
_ROUNDING = float(np.finfo(np.float32).eps)  # of each loss, which networks in float32 give


def convex_points(plane: Plane) -> tuple[Mask, Mask]:
    """Tell at which points the surface is convex, and at which that is known, both (nx, ny).

    Known are inner points that were computed with their eight neighbours. The 2 x 2 Hessian in the plane's coordinates
    comes from central differences; its smaller eigenvalue may lie below zero by `FLAT` of the larger absolute one and
    by what one float32 rounding of each loss can do. A point is not convex where its own or a neighbour's loss is not
    finite: there the surface ends.
    """
    shape = plane.train_loss.shape
    convex, known = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    if min(shape) >= 3:
        inner = slice(1, -1), slice(1, -1)
        known[inner] = _all_about(plane.computed)
        finite = _all_about(np.isfinite(plane.train_loss))
        convex[inner] = _not_bent_down(plane.train_loss, plane.x, plane.y) & finite & known[inner]
    return convex, known


def _all_about(mask: Mask) -> Mask:
    """Tell for each inner point whether `mask` holds there and at its eight neighbours."""
    found: Mask = np.logical_and.reduce(sliding_window_view(mask, (3, 3)), axis=(2, 3))
    return found


def _not_bent_down(f: Floats, x: Floats, y: Floats) -> Mask:
    """Tell at which inner points the Hessian has no negative eigenvalue, within `FLAT` and rounding."""
    dx, dy = np.diff(x)[:, None], np.diff(y)[None, :]
    with np.errstate(all="ignore"):
        xx = np.diff(np.diff(f, axis=0) / dx, axis=0)[:, 1:-1] * 2 / (dx[1:] + dx[:-1])
        yy = np.diff(np.diff(f, axis=1) / dy, axis=1)[1:-1] * 2 / (dy[:, 1:] + dy[:, :-1])
        across = f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]
        xy = across / ((dx[1:] + dx[:-1]) * (dy[:, 1:] + dy[:, :-1]))
        middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        # weights of the second differences, times a rounding of each loss
        noise = _ROUNDING * (1 + np.abs(f[1:-1, 1:-1])) * 4 * (1 / (dx[1:] * dx[:-1]) + 1 / (dy[:, 1:] * dy[:, :-1]))
        found: Mask = middle - half >= -FLAT * (np.abs(middle) + half) - noise
    return found


def convex_share(plane: Plane) -> float:
    """Return the share of the known points that are convex, NaN if none are known."""
    convex, known = convex_points(plane)
    return float(convex.sum() / known.sum()) if known.any() else math.nan


def convex_radius(plane: Plane) -> float:
    """Return the distance from (0, 0) to the nearest known point that is not convex, `inf` if all are."""
    convex, known = convex_points(plane)
    if not known.any():
        return math.nan
    distance = np.hypot(*np.meshgrid(plane.x, plane.y, indexing="ij"))
    return float(np.min(distance[known & ~convex], initial=math.inf))


def nonconvex_level(plane: Plane) -> float:
    """Return the lowest loss of a known point that is not convex, `inf` if all are."""
    convex, known = convex_points(plane)
    if not known.any():
        return math.nan
    losses = plane.train_loss[known & ~convex]
    return float(np.min(losses[np.isfinite(losses)], initial=math.inf))
