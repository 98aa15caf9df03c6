"""How far from a minimizer the loss stays low along lines, and how it is curved there.

A loss that is not finite counts as infinitely high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lossatlas.results import Floats, Profile
from lossatlas.shape.grids import centre

# nats per example above a minimizer's own loss; and the contour at whose width Li et al. look
RISE = 0.1


@dataclass(frozen=True)
class Width:
    """A distance at which a loss is reached; where it is not `reached`, the end of the line."""

    value: float
    reached: bool

    @property
    def bound(self) -> str:
        """The word before the number."""
        return "" if self.reached else "at least"


def reach(distance: Floats, loss: Floats, level: float) -> Width:
    """Return the smallest distance at which the loss reaches `level`.

    Between points the loss is taken as linear in the squared distance, which is exact for a parabola: the loss of a
    good fit doubles well within the first step, where a straight line would be wrong by orders of magnitude.

    Args:
        distance: (n,) from 0 upwards.
        loss: (n,) nats.
        level: in nats.
    """
    passed = np.flatnonzero(~(loss < level))
    if not len(passed):
        return Width(float(distance[-1]), False)
    if (i := int(passed[0])) == 0:
        return Width(float(distance[0]), True)
    share = (level - loss[i - 1]) / (loss[i] - loss[i - 1]) if math.isfinite(loss[i]) else 0.0
    return Width(math.sqrt(distance[i - 1] ** 2 + share * (distance[i] ** 2 - distance[i - 1] ** 2)), True)


def outward(distance: Floats, loss: Floats) -> Width:
    """Return the first distance at which the loss has risen by `RISE` above its first value, as `reach` does."""
    return reach(distance, loss, float(loss[0]) + RISE)


def mean_loss(profile: Profile) -> tuple[Floats, Floats]:
    """Return distances from the centre, (m,), and the training loss there, averaged over rows and both signs.

    Distances are all |alpha| that both sides cover (the one side of a profile that has only one); where the two sides
    have other points, each is interpolated as in `reach`. NaN where a loss was not computed.

    Raises:
        NoCentreError: there is no point at alpha = 0.
    """
    zero, end = centre("alpha", profile.alpha), np.abs(profile.alpha).max()
    # equally spaced coordinates and their mirror images differ by rounding
    distance = np.round(np.abs(profile.alpha) / end, 12) * end if end else profile.alpha
    loss = np.where(np.isnan(profile.train_loss) & profile.computed, np.inf, profile.train_loss)
    sides = [(distance[zero:], loss[:, zero:]), (distance[zero::-1], loss[:, zero::-1])]
    sides = [side for side in sides if len(side[0]) > 1] or sides[:1]
    shared = np.unique(np.concatenate([far for far, _ in sides]))
    shared = shared[shared <= min(far[-1] for far, _ in sides)]
    with np.errstate(invalid="ignore"):
        curves = [np.interp(shared**2, far**2, row) for far, rows in sides for row in rows]
    return shared, np.mean(curves, axis=0)


def radius(profile: Profile, level: float) -> Width:
    """Return the smallest distance at which `mean_loss` reaches `level`, NaN where a loss was not computed."""
    distance, loss = mean_loss(profile)
    if not math.isfinite(level) or np.isnan(loss).any():
        return Width(math.nan, True)
    return reach(distance, loss, level)


def bowl_radius(profile: Profile) -> Width:
    """Return the distance at which `mean_loss` has risen by `RISE` above the centre's."""
    return radius(profile, float(mean_loss(profile)[1][0]) + RISE)


@dataclass(frozen=True)
class Curvature:
    """The curvature d'Hd at the centre over the directions of a profile.

    Attributes:
        mean: NaN unless it is finite along every direction: the mean of the others would be that of the flatter ones.
        std: standard deviation, NaN for fewer than two directions.
        finite: along how many directions it is.
        directions: of how many.
    """

    mean: float
    std: float
    finite: int
    directions: int


def curvature(profile: Profile) -> Curvature:
    """Return the mean curvature of a profile's rows."""
    values, finite = profile.curvature, int(np.isfinite(profile.curvature).sum())
    whole = finite == len(values) > 0
    mean = float(values.mean()) if whole else math.nan
    return Curvature(mean, float(values.std(ddof=1)) if whole and finite > 1 else math.nan, finite, len(values))
