"""Widths, convexity and rank correlation, read off stored losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossatlas.results import Floats, Mask, Plane, Profile

# nats above a minimizer's own loss: the paper compares widths at the contour of 0.1
RISE = 0.1
# of the larger principal curvature: up to it a negative one counts as none, the paper's bound for "nearly convex"
FLAT = 0.01
_ROUNDING = float(np.finfo(np.float32).eps)  # of each loss, which networks in float32 give


@dataclass(frozen=True)
class Width:
    """How far a loss stays within `RISE` of its minimizer's; not `reached` where that is to the end of the line."""

    value: float
    reached: bool

    @property
    def bound(self) -> str:
        """The word before the number."""
        return "" if self.reached else "at least"


def outward(distance: Floats, loss: Floats) -> Width:
    """Return the first distance at which the loss has risen by `RISE` above its first value.

    Between points the root of the rise is interpolated linearly, which is exact for a parabola. A loss that is not
    finite has left the neighbourhood at its point.

    Args:
        distance: (n,) from 0 upwards.
        loss: (n,) nats.
    """
    over = np.flatnonzero(~(loss <= loss[0] + RISE))
    if not len(over):
        return Width(float(distance[-1]), False)
    i = int(over[0])
    if i == 0 or not np.isfinite(loss[i]):
        return Width(float(distance[i]), True)
    before, after = (np.sqrt(abs(rise)) * np.sign(rise) for rise in loss[i - 1 : i + 1] - loss[0])
    part = (np.sqrt(RISE) - before) / (after - before)
    return Width(float(distance[i - 1] + part * (distance[i] - distance[i - 1])), True)


def bowl_radius(profile: Profile) -> Width:
    """Return the mean over both sides of the distance at which the mean loss of all rows has risen by `RISE`."""
    loss = profile.train_loss.mean(axis=0)
    centre = int(np.abs(profile.alpha).argmin())
    sides = [
        outward(profile.alpha[centre:] - profile.alpha[centre], loss[centre:]),
        outward(profile.alpha[centre] - profile.alpha[centre::-1], loss[centre::-1]),
    ]
    return Width(float(np.mean([side.value for side in sides])), all(side.reached for side in sides))


def convex_points(plane: Plane) -> tuple[Mask, Mask]:
    """Return where the surface is convex, and where that can be said: inner points with finite neighbours.

    The Hessian of the surface is taken from central differences on the grid.

    Returns:
        Two masks, (nx, ny).
    """
    loss = np.where(np.isfinite(plane.train_loss), plane.train_loss, np.nan)
    dx, dy = plane.x[1] - plane.x[0], plane.y[1] - plane.y[0]
    inner = loss[1:-1, 1:-1]
    xx = (loss[2:, 1:-1] - 2 * inner + loss[:-2, 1:-1]) / dx**2
    yy = (loss[1:-1, 2:] - 2 * inner + loss[1:-1, :-2]) / dy**2
    xy = (loss[2:, 2:] - loss[2:, :-2] - loss[:-2, 2:] + loss[:-2, :-2]) / (4 * dx * dy)
    middle, reach = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    low, high = middle - reach, middle + reach
    known, convex = np.zeros(plane.train_loss.shape, dtype=bool), np.zeros(plane.train_loss.shape, dtype=bool)
    known[1:-1, 1:-1] = np.isfinite(low)
    noise = _ROUNDING * (1 + np.abs(inner)) * 4 * (1 / dx**2 + 1 / dy**2)
    convex[1:-1, 1:-1] = np.isfinite(low) & (low >= -FLAT * np.abs(high) - noise)
    return convex, known


def _ranks(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return np.array([np.mean([np.sum(array < value), np.sum(array <= value) - 1]) for value in array])


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, None where one of the two is constant."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 else None
