"""What the corners of the cells about a point, one cell per coarse grid, tell about the values there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossatlas.landscape.coarse_corners import Corner
from lossatlas.landscape.sampling import carrying
from lossatlas.landscape.sampling_estimate import Controls, Estimate, cross_fitted
from lossatlas.results import Floats

# rows of the values of images
LOSS, RIGHT = 0, 1


@dataclass(frozen=True)
class Level:
    """The corners of the cell about a point in one coarse grid, and their weights in interpolation, (corners,)."""

    corners: Sequence[Corner]
    weights: Floats

    @property
    def images(self) -> int:
        """The images for which all corners are known."""
        return int(self.corners[0].values.shape[1])

    @property
    def finite(self) -> bool:
        """Whether all that is known is finite."""
        return bool(np.isfinite([corner.squares for corner in self.corners]).all())

    @property
    def carriers(self) -> float:
        """The share of the images that carry the losses' mean square, as `carrying`."""
        squares, fourths = (
            self.weights @ np.array([getattr(corner, name)[LOSS] for corner in self.corners])
            for name in ("squares", "fourths")
        )
        return carrying(squares, fourths)

    def controls(self, kind: int, n: int) -> Controls:
        """Return the controls of the first n losses or correctnesses."""
        return Controls(
            values=np.stack([corner.values[kind, :n] for corner in self.corners], axis=1),
            weights=self.weights,
            images=self.images,
            means=np.array([corner.means[kind] for corner in self.corners]),
            squares=np.array([corner.squares[kind] for corner in self.corners]),
            inner=np.array([corner.inner[kind] for corner in self.corners]),
        )


def estimate(levels: Sequence[Level], kind: int, sample: Floats) -> Estimate:
    """Estimate a mean over all images from a sample's losses or correctnesses.

    Args:
        levels: the first for all images; a second, finer one for fewer, but at least as many as the sample.
        kind: `LOSS` or `RIGHT`.
        sample: values of the first images, (2, n).
    """
    # a prediction that no image of the sample shows may change in the next one
    least = 1.0 if kind == RIGHT else 0.0
    return cross_fitted(sample[kind], [level.controls(kind, sample.shape[1]) for level in levels], least=least)
