"""How points of a plane are estimated from samples: the tolerance, the confidence, and the sizes of the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

# half the width of a normal distribution's middle 95 %, in standard deviations
CONFIDENCE = 0.95
QUANTILE = 1.96
# the share of a variance that may come from what the points of a cell have in common: if it were all, they would miss
# the tolerance together
FLOOR = 0.25
# images, of those that carry the mean square of the losses, that a sample must be expected to have before its standard
# error is believed: with fewer it often has none of the large losses, and stops where it is too low
CARRIERS = 8
# samples grow by multiples of this: smaller batches make no better use of a processor
PIECE = 32


@dataclass(frozen=True)
class Sampling:
    """When the estimate of a point is good enough: `1.96 standard errors <= atol + rtol * |loss|`.

    A standard error knows what the sample and the corners of the cell show. Images so rare that the first `minimum`
    have none of them, with losses so large that they decide the mean, are missed where the corners lack them too.
    Where the corners show that a small share of the images carries the losses, as near a minimum, a sample is not
    believed before it should have 8 of these.

    Attributes:
        rtol: tolerance of a loss, as a fraction of it.
        atol: tolerance of a loss, nats; added.
        minimum: images before a standard error is believed; at least 64.
        share: a sample that is predicted to need more than this share of the images is not taken: the point is exact.
        steps: distances, in grid points, between the points that others are estimated from: one for a single coarse
            grid that is exact, or two, the larger first, for a second grid of `images` images; empty: chosen from
            variances that are measured first. (1,) makes every point exact.
        images: images at the points of the second grid; None without one.
        pilots: random points at which the variances are measured.
        pilot_images: images at each of them.
        seed: of the order of the images, which is the same at all points, and of the pilots.

    Raises:
        ValueError: a setting is impossible.
    """

    rtol: float = 0.02
    atol: float = 0.01
    minimum: int = 64
    share: float = 0.5
    steps: tuple[int, ...] = ()
    images: int | None = None
    pilots: int = 9
    pilot_images: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} = {value} is impossible; a tolerance is finite and at least 0")
        if self.rtol == self.atol == 0:
            raise ValueError("rtol and atol are both 0, which no sample can reach; leave sampling out to be exact")
        # two halves are fitted apart, each with weights of its own
        for name, least in (("minimum", 64), ("pilots", 1), ("pilot_images", 16)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} = {value} is impossible; at least {least} are needed")
        if not 0 < self.share <= 1:
            raise ValueError(f"share = {self.share} is impossible; it must be above 0 and at most 1")
        if len(self.steps) > 2 or min(self.steps, default=1) < 1 or self.steps != tuple(sorted(set(self.steps))[::-1]):
            raise ValueError(f"steps = {self.steps} is impossible; one or two steps of at least 1, the larger first")
        if (len(self.steps) == 2) != (self.images is not None) or (self.images or math.inf) < self.minimum:
            raise ValueError(
                f"images = {self.images} with steps = {self.steps} is impossible; two steps need it, at least "
                f"{self.minimum}, and others have no use for it"
            )

    def tolerance(self, loss: float) -> float:
        """Return the largest standard error that is good enough at a loss."""
        return (self.atol + self.rtol * abs(loss)) / QUANTILE

    def least(self, carriers: float) -> float:
        """Return the images before a standard error is believed, where so large a share of them carries the losses."""
        wanted = max(CARRIERS / carriers, self.minimum) if carriers > 0 else math.inf
        return pieces(wanted) if math.isfinite(wanted) else wanted

    def needed(self, variance: float, loss: float, population: int, *, floor: float = 0.0) -> float:
        """Return the images that a residual of `variance` needs, of `population` without replacement.

        Args:
            variance: of the residuals, from image to image.
            loss: the mean to be estimated.
            population: how many images there are.
            floor: variance of the estimate that no image of these can lower; it may be a quarter of what is allowed.

        Returns:
            At least `minimum`, rounded up to whole pieces; infinity where the tolerance is out of reach.
        """
        allowed = self.tolerance(loss) ** 2
        spare = allowed - floor
        if not (math.isfinite(variance) and floor <= FLOOR * allowed):
            return math.inf
        wanted = 1 / (spare / variance + 1 / population) if variance > 0 else 0.0
        return pieces(max(wanted, self.minimum))


def carrying(squares: float, fourths: float) -> float:
    """Return the share of the images that carry the losses' mean square: 1 if all are equal, small if a few decide.

    It is the square of the mean square over the mean fourth power, as Kish's effective sample size is; 0 where these
    are beyond float64.
    """
    share = squares**2 / fourths if fourths > 0 else float(squares == 0)
    return float(share) if math.isfinite(share) else 0.0


def pieces(images: float) -> int:
    """Round up to whole pieces."""
    return PIECE * math.ceil(images / PIECE - 1e-9)
