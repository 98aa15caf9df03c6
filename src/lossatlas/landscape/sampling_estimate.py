"""Means over all images from a sample of them, with control variates that are known for more images.

The losses of an image at neighbouring points are almost the same function of the image. What neighbours tell is
subtracted before the sample's mean is taken, and its own mean over more images added afterwards; that in turn may be
the sample of a coarser neighbourhood (multilevel Monte Carlo, Giles 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossatlas.results import Floats

# standard deviations, a priori, of the weights about those of interpolation: of their common factor, and of each
_FACTOR = 0.5
_SINGLE = 0.2


@dataclass(frozen=True)
class Controls:
    """What the corners of one cell tell about the first `images` images.

    Attributes:
        values: one column per corner; those of the sample are needed.
        weights: those of interpolation, one per corner.
        images: for how many the corners are known.
        means: of each corner over these.
        squares: mean squares of each over these.
        inner: the means over those images for which the next finer cell is known; not used if there is none.
    """

    values: Floats  # (n or more, corners)
    weights: Floats  # (corners,)
    images: int
    means: Floats  # (corners,)
    squares: Floats  # (corners,)
    inner: Floats  # (corners,)


@dataclass(frozen=True)
class Estimate:
    """A mean over all images.

    Attributes:
        mean: the estimate.
        se: its standard error.
        variance: from image to image, of what the finest cell leaves of the sample.
        floor: the part of `se` squared that a larger sample does not lower.
        images: those that the sample is drawn from: for which the finest cell is known.
    """

    mean: float
    se: float
    variance: float
    floor: float
    images: int


def fitted(values: Floats, wanted: Floats, weights: Floats) -> Floats:
    """Return weights of the corners, (corners,): a ridge regression about those of interpolation."""
    inputs, outputs = values - values.mean(0), wanted - wanted.mean()
    middle = inputs @ weights
    left = outputs - middle
    features = np.column_stack([middle, inputs - middle[:, None]])
    noise = left @ left / max(len(left) - 1, 1)
    ridge = noise / np.array([_FACTOR, *[_SINGLE] * len(weights)]) ** 2
    gram = features.T @ features
    # without noise interpolation is exact already; the addition keeps the matrix regular
    gram[np.diag_indices_from(gram)] += ridge + 1e-12 * np.trace(gram) + np.finfo(float).tiny
    factor, *single = np.linalg.solve(gram, features.T @ left)
    found: Floats = (1 + factor - sum(single)) * weights + single
    return found


def cross_fitted(sample: Floats, cells: Sequence[Controls], *, least: float = 0.0) -> Estimate:
    """Estimate the mean over the images of the first cell from the values of the first of them.

    Each half of the sample fits the weights for the rest: given one half, the other is a sample of the images that
    remain, as those that finer cells know are. So the estimate is unbiased, and if the sample is all images it is
    their mean, whatever the weights are. The variance allows for a sample that has too few of the large values, where
    most of the error comes from: it grows with their mean square over all images to that over the sample.

    Args:
        sample: values of the first images, (n,).
        cells: the controls, from those known for all images to the finest, each known for fewer but at least n images.
        least: a sum of squares that is added to the residuals': what one image might do that the sample does not have.
    """
    n, total = len(sample), cells[0].images
    counts = [*(cell.images for cell in cells), n]
    halves = np.arange(0, n, 2), np.arange(1, n, 2)
    mean, squares, fourths = 0.0, np.full(len(cells), least), np.full(len(cells), least**2)
    for mine, other in (halves, halves[::-1]):
        rest = sample[other].mean()
        for i, cell in enumerate(cells):
            own, others = cell.values[mine], cell.values[other]
            weights = fitted(own, sample[mine], cell.weights)
            outer = _without(cell.means, cell.images, own)
            inner = others.mean(0) if cell is cells[-1] else _without(cell.inner, counts[i + 1], own)
            rest += weights @ (outer - inner)
            left = sample[other] - others @ weights
            squares[i] += (apart := (left - left.mean()) ** 2).sum()
            fourths[i] += (apart**2).sum()
        mean += (len(mine) * sample[mine].mean() + (total - len(mine)) * rest) / total / 2
    variances = [_careful(s, f, n) * _heavier(cell, n) for s, f, cell in zip(squares, fourths, cells, strict=True)]
    parts = [v * (1 / m - 1 / k) for v, m, k in zip(variances, counts[1:], counts, strict=False)]
    return Estimate(float(mean), math.sqrt(sum(parts)), variances[-1], sum(parts[:-1]), counts[-2])


def _without(means: Floats, images: int, some: Floats) -> Floats:
    """Return means over the images without `some` of them; of none left, zeros."""
    left = images - len(some)
    return (means * images - some.sum(0)) / left if left else means * 0


def _careful(squares: float, fourths: float, n: int) -> float:
    """Return a variance one standard error above its estimate, which a few large residuals decide about."""
    excess = max(n * fourths / squares**2 - 1, 0.0) if squares > 0 else 0.0
    return float(squares / (n - 2) * (1 + math.sqrt(excess / n)))


def _heavier(cell: Controls, n: int) -> float:
    """Return by how much the corners' mean squares over all images exceed those over the sample, at least 1."""
    here, everywhere = (cell.values[:n] ** 2).mean(0) @ cell.weights, cell.squares @ cell.weights
    return max(1.0, float(everywhere / here)) if here > 0 else 1.0
