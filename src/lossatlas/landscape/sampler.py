"""Sampled points of a plane: exact losses on a coarse grid, and between its points estimates from few images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lossatlas.landscape.coarse import CoarseGrid, Place
from lossatlas.landscape.coarse_corners import Corners, Measure
from lossatlas.landscape.sampling import PIECE, Sampling
from lossatlas.landscape.sampling_estimate import Estimate
from lossatlas.landscape.sampling_levels import LOSS, RIGHT, Level, estimate
from lossatlas.landscape.sampling_plan import Plan
from lossatlas.results import Floats


class Sampler:
    """Losses and accuracies on one data set at the points of a grid.

    What it returns at a place depends on nothing but the place: not on those asked for before. Row by row is cheapest.

    Args:
        x: coordinates along the first axis.
        y: along the second.
        plan: the coarse grids and the images at their points.
        measure: what computes the values of the first images at a place.
        sampling: the tolerance.
        folder: where values at coarse points are kept for a run that is killed; None for nowhere.
        stem: the beginning of the files' names there.
    """

    def __init__(
        self,
        x: Floats,
        y: Floats,
        plan: Plan,
        measure: Measure,
        sampling: Sampling,
        *,
        folder: Path | None = None,
        stem: str = "",
    ) -> None:
        """See the class."""
        self._sampling, self._measure, self._images = sampling, measure, plan.images[0]
        self.grids = [CoarseGrid(x, y, plan.steps[: i + 1]) for i in range(len(plan.steps))]
        self.corners = [Corners(self._images, measure, sum(plan.images[1:]), folder, f"{stem}-0")]
        self.corners += [Corners(images, self._known, 0, folder, f"{stem}-1") for images in plan.images[1:]]

    def _known(self, place: Place, start: int, stop: int) -> Floats:
        """Return the values of images, from the exact points where they are known."""
        known = place in self.grids[0]
        return self.corners[0][place].values[:, start:stop] if known else self._measure(place, start, stop)

    def __call__(self, place: Place) -> dict[str, float]:
        """Return `loss`, `accuracy`, `n`, `loss_se` and `accuracy_se` at a place."""
        if self.grids[0].everywhere:
            return _exact(self._measure(place, 0, self._images))
        cells = [grid.cell(place) for grid in self.grids]
        for corners, cell in zip(self.corners, cells, strict=True):
            corners.keep({row for row, _ in cell.corners})
        if place in self.grids[0]:
            return _exact(self.corners[0][place].values)
        if place in self.grids[-1]:
            sample, cells = self.corners[-1][place].values, cells[:1]
        else:
            sample = self._measure(place, 0, self._sampling.minimum)
        with np.errstate(all="ignore"):
            levels = [
                Level([corners[corner] for corner in cell.corners], cell.weights)
                for corners, cell in zip(self.corners, cells, strict=False)
            ]
            return self._sampled(place, sample, levels)

    def forget(self) -> None:
        """Forget the values of images, and remove their files."""
        for corners in self.corners:
            corners.clear()

    def _sampled(self, place: Place, sample: Floats, levels: Sequence[Level]) -> dict[str, float]:
        """Enlarge a sample until the standard error is small enough, or the exact value is to be preferred."""
        finite = all(level.finite for level in levels)
        least = max(self._sampling.least(level.carriers) for level in levels) if finite else math.inf
        if sample.shape[1] < least <= self._sampling.share * self._images:
            sample = np.concatenate([sample, self._measure(place, sample.shape[1], int(least))], axis=1)
        while sample.shape[1] >= least and np.isfinite(sample).all():
            n = sample.shape[1]
            usable = [levels[: i + 1] for i, level in enumerate(levels) if level.images >= n]
            found = [estimate(some, LOSS, sample) for some in usable]
            wanted = [self._sampling.needed(e.variance, e.mean, e.images, floor=e.floor) for e in found]
            best = int(np.argmin(wanted))
            if found[best].se <= self._sampling.tolerance(found[best].mean):
                return _estimated(found[best], estimate(usable[best], RIGHT, sample), n)
            if wanted[best] > self._sampling.share * self._images:
                break
            stop = min(max(wanted[best], n + PIECE), 2 * n, found[best].images)
            sample = np.concatenate([sample, self._measure(place, n, stop)], axis=1)
        if sample.shape[1] < self._images:
            sample = np.concatenate([sample, self._measure(place, sample.shape[1], self._images)], axis=1)
        return _exact(sample)


def _exact(values: Floats) -> dict[str, float]:
    loss, accuracy = values.mean(1)
    return {"loss": loss, "accuracy": accuracy, "n": values.shape[1], "loss_se": 0.0, "accuracy_se": 0.0}


def _estimated(loss: Estimate, accuracy: Estimate, n: int) -> dict[str, float]:
    return {"loss": loss.mean, "accuracy": accuracy.mean, "n": n, "loss_se": loss.se, "accuracy_se": accuracy.se}
