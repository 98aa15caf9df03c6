"""A path in the coordinates of a plane: least squares, the share that it captures, ranges, angles with the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lossatlas.landscape.directions import Direction
from lossatlas.landscape.weightpath import WeightPath
from lossatlas.results import Floats, Plane

# smallest eigenvalue of the directions' cosines at which they still span a plane (an angle of about 1e-5)
_PARALLEL = 1e-10
# a smaller relative change of the loss from grid point to grid point is rounding
_FLAT = 1e-9


@dataclass(frozen=True)
class Projection:
    """A path in the coordinates of k directions.

    Attributes:
        coordinates: (n + 1, k) multiples of the directions, relative to the last checkpoint, whose row is zero.
        metric: (k, k) inner products of the directions, which turn coordinates into true distances.
        captured: (k,) share of the path's variation along each direction, see `project`.
    """

    coordinates: Floats
    metric: Floats
    captured: Floats


def project(path: WeightPath, directions: Sequence[Direction], *, centred: bool = True) -> Projection:
    """Project a path onto directions by least squares; they need be neither unit nor orthogonal.

    The coordinates c_i minimize |r_i - sum_j c_ij d_j|. What is captured is counted axis by axis: the share of the
    path's variation (squared distances from its mean; from the last checkpoint if not `centred`) that lies along the
    first direction, then what the second adds, the share along its part orthogonal to the first. The shares sum to
    that of the plane. For principal components they are the explained variance ratios.

    Args:
        path: the checkpoints.
        directions: k of them, moving nothing that the path leaves out.
        centred: how the path's variation is counted.

    Raises:
        ValueError: a direction is zero, they are parallel, or they do not fit the path.
    """
    shared, metric = path.products(directions)
    norms = metric.diagonal().sqrt()
    if not (norms > 0).all():
        raise ValueError(f"direction {int((norms > 0).int().argmin())} is zero; choose one that moves the weights")
    cosines = metric / torch.outer(norms, norms)
    if float(torch.linalg.eigvalsh(cosines)[0]) < _PARALLEL:
        raise ValueError("the directions are parallel, so coordinates are not unique; choose others")
    solved = torch.linalg.solve(cosines, (shared / norms).T).T / norms
    # the rows of the inverse of the Cholesky factor make the normalized directions orthonormal, in their order
    factor = torch.linalg.cholesky(cosines)
    along = torch.linalg.solve_triangular(factor, (shared / norms).T, upper=False)
    if centred:
        along = along - along.mean(dim=1, keepdim=True)
    captured = along.square().sum(dim=1) / path.variation(centred=centred)
    return Projection(solved.numpy(), metric.numpy(), captured.numpy())


def enclosing(coordinates: Floats, *, margin: float, points: int) -> tuple[Floats, Floats]:
    """Return the coordinates x and y of a grid that encloses a path.

    The path's ends get `margin` times its extent more on either side. A path without extent along one axis gets that
    along the other (1 if it has none at all). Zero, the last checkpoint, lies inside, but is in general no grid point.

    Args:
        coordinates: (n, 2).
        margin: fraction of the extent, more than 0.
        points: per axis, at least 2.

    Raises:
        ValueError: an impossible margin or number of points, or coordinates that are not finite.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"margin = {margin} is impossible; it must be a finite number above 0, for example 0.1")
    if points < 2:
        raise ValueError(f"points = {points} is impossible; a range needs at least 2")
    if not np.isfinite(coordinates).all():
        raise ValueError("coordinates are not finite; no range encloses them")
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extent = high - low
    # an extent that rounding could have made is none
    least = max(1e-12 * float(np.abs(coordinates).max()), 1e-300)
    widest = float(extent.max()) if extent.max() > least else 1.0
    pad = margin * np.where(extent > least, extent, widest)
    x, y = (np.linspace(a, b, points) for a, b in zip(low - pad, high + pad, strict=True))
    return x, y


def _log_gradient(plane: Plane) -> Floats:
    """Return the gradient of the log training loss at the grid points, (nx, ny, 2); NaN beside missing losses."""
    loss = np.where(np.isfinite(plane.train_loss), plane.train_loss, np.nan)
    positive = loss[loss > 0]
    if not len(positive):
        return np.full((*loss.shape, 2), np.nan)
    # a loss that rounds to zero counts as the smallest one that does not
    level = np.log(np.maximum(loss, positive.min()))
    slopes = np.stack(np.gradient(level, plane.x, plane.y), axis=-1)
    cells = np.array([np.ptp(axis) / (len(axis) - 1) for axis in (plane.x, plane.y)])
    return np.where(np.abs(slopes) * cells < _FLAT, 0.0, slopes)


def _bilinear(plane: Plane, values: Floats, at: Floats) -> Floats:
    """Interpolate values (nx, ny, k) at points (m, 2) within the grid."""
    corner, part = [], []
    for axis, where in zip((plane.x, plane.y), at.T, strict=True):
        left = np.clip(np.searchsorted(axis, where, side="right") - 1, 0, len(axis) - 2)
        corner.append(left)
        part.append(((where - axis[left]) / (axis[left + 1] - axis[left]))[:, None])
    (i, j), (s, t) = corner, part
    low = (1 - t) * values[i, j] + t * values[i, j + 1]
    high = (1 - t) * values[i + 1, j] + t * values[i + 1, j + 1]
    mixed: Floats = (1 - s) * low + s * high
    return mixed


def alignment(plane: Plane, coordinates: Floats, metric: Floats) -> Floats:
    """Return |cos| of the angle between each step of a path and the loss gradient, both within the plane.

    Near 1 the step runs across the contours of the loss, near 0 along them. The gradient is that of the training loss
    of `plane` in the middle of the step: central differences of its logarithm (which has the same direction and
    resolves small losses) at the grid points, interpolated bilinearly. A gradient that changes within a grid cell is
    not resolved. Lengths and angles are true ones in weight space.

    Args:
        plane: losses on a grid of at least 2 x 2 points that encloses the path.
        coordinates: (m, 2) of the checkpoints.
        metric: (2, 2) inner products of the directions, see `Projection`.

    Returns:
        One value per checkpoint, (m,): entry i is about the step from i - 1 to i, the first is NaN. NaN too where a
        loss about the step is missing, the loss is flat, or the step has no length within the plane.
    """
    steps = np.diff(coordinates, axis=0)
    slope = _bilinear(plane, _log_gradient(plane), (coordinates[1:] + coordinates[:-1]) / 2)
    # the gradient vector has the components metric^-1 slope
    squares = [np.einsum("ij,jk,ik->i", v, m, v) for v, m in ((steps, metric), (slope, np.linalg.inv(metric)))]
    lengths = np.sqrt(np.maximum(squares[0], 0) * np.maximum(squares[1], 0))
    cosines = np.full(len(coordinates), np.nan)
    usable = np.isfinite(lengths) & (lengths > 0)
    cosines[1:][usable] = np.minimum(np.abs((steps * slope).sum(axis=1)[usable]) / lengths[usable], 1.0)
    return cosines
