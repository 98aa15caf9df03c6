"""The set about a minimizer in which the loss of a plane stays low."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lossatlas.results import Floats, Plane
from lossatlas.shape.grids import centre

_FINE = 400  # cells per side, at least, in which the area of a level set is counted


@dataclass(frozen=True)
class LevelSet:
    """The connected set about the centre in which the loss stays up to a level.

    Attributes:
        area: in squared multiples of the directions; NaN where it is not known.
        touches_border: whether it reaches the end of the plane: how far it goes on is not known.
        unknown: why there is no area, empty if there is one.
    """

    area: float
    touches_border: bool = False
    unknown: str = ""

    @property
    def width(self) -> float:
        """Diameter of the disc of that area, in multiples of the directions; NaN where it is not known."""
        return 2 * math.sqrt(self.area / math.pi)


def level_set(plane: Plane, level: float) -> LevelSet:
    """Return the connected set about (0, 0) with losses up to `level`.

    There is no area where the centre lies above the level, where points of the plane were not computed, or where the
    set touches the border. Between points the loss is bilinear in the squared coordinates, exact for a paraboloid whose
    axes are the plane's; a set whose long axis lies across comes out up to a quarter too narrow where it is narrower
    than a step. Counted in cells much smaller than the grid's; a set smaller than one of these has area 0.

    Raises:
        NoCentreError: there is no point at (0, 0).
    """
    at = centre("x", plane.x), centre("y", plane.y)
    if min(plane.computed.shape) < 2 or not plane.computed.all():
        return LevelSet(math.nan, unknown="points of the plane were not computed")
    if not plane.train_loss[at] <= level:
        reason = f"the loss at the centre, {plane.train_loss[at]:.3g}, is above {level:.3g}"
        return LevelSet(math.nan, unknown=reason)
    wall = 1e12 * (1 + abs(level))
    loss = np.where(np.isfinite(plane.train_loss), np.minimum(plane.train_loss, wall), wall)
    (along_x, wide), (along_y, high) = _fine(plane.x), _fine(plane.y)
    labels, _ = ndimage.label(along_x @ loss @ along_y.T <= level)
    # the cells that meet in the centre
    corner = [i * _factor(axis) for i, axis in zip(at, (plane.x, plane.y), strict=True)]
    near = tuple(slice(max(i - 1, 0), i + 1) for i in corner)
    chosen = np.isin(labels, np.setdiff1d(labels[near], 0))
    if np.concatenate([chosen[0], chosen[-1], chosen[:, 0], chosen[:, -1]]).any():
        return LevelSet(math.nan, touches_border=True, unknown="the set goes on beyond the plane")
    return LevelSet(float(wide @ chosen @ high))


def _factor(axis: Floats) -> int:
    """Return into how many cells an interval of an axis is divided."""
    return max(8, math.ceil(_FINE / max(len(axis) - 1, 1)))


def _fine(axis: Floats) -> tuple[Floats, Floats]:
    """Return the weights (m, n) of the points in the middles of fine cells, and the sizes of these cells, (m,)."""
    factor = _factor(axis)
    left, part = divmod((np.arange(factor * (len(axis) - 1)) + 0.5) / factor, 1)
    left = left.astype(int)
    low, high = axis[left], axis[left + 1]
    middle = low + part * (high - low)
    weight = (middle * np.abs(middle) - low * np.abs(low)) / (high * np.abs(high) - low * np.abs(low))
    weights = np.zeros((len(left), len(axis)))
    rows = np.arange(len(left))
    weights[rows, left], weights[rows, left + 1] = 1 - weight, weight
    return weights, (high - low) / factor
