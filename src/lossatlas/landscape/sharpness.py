"""Numbers for "flatter": what a profile and a plane say about a minimizer, and how it goes with test error.

Comparable between runs whose profiles and planes have the same grid and normalization (Li et al. 2018, section 4:
filter). A loss that is not finite counts as infinitely high; what was not computed is NaN; what is not reached within
the range is `inf`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, stats

from lossatlas.results import Floats, Mask, Plane, Profile

LEVEL = 0.1  # the contour whose width Li et al. compare, and the rise above the centre; nats per example
# a point is convex up to this |lambda_min / lambda_max|, the paper's bound for "nearly convex" (Fig. 7)
RELATIVE_TOLERANCE = 0.01
# share of the loss of guessing: a run that ends above it has learnt nothing, and lies on a plateau, not in a minimum
UNTRAINED = 0.9
_ROUNDING = float(np.finfo(np.float32).eps)  # of each loss, which networks in float32 give
_FINE = 400  # cells per side, at least, in which the area of a level set is counted
_EXACT_RUNS = 8  # up to this many runs all orders are tried for the p value


@dataclass(frozen=True)
class Measure:
    """What a number is called, its unit, and what a larger one means."""

    title: str
    unit: str
    larger: Literal["sharper", "flatter"]


MEASURES: Mapping[str, Measure] = {
    "curvature": Measure("curvature at the centre", "nat per squared multiple of the direction", "sharper"),
    "doubling_radius": Measure("radius at which the mean loss doubles", "multiple of the direction", "flatter"),
    "level_radius": Measure(
        f"radius at which the mean loss has risen by {LEVEL}", "multiple of the direction", "flatter"
    ),
    "convex_share": Measure("convex share of the plane", "fraction", "flatter"),
    "convex_radius": Measure("distance to the nearest non-convex point", "multiple of the directions", "flatter"),
    "nonconvex_level": Measure("lowest loss without convexity", "nat per example", "flatter"),
    "level_width": Measure(f"width of the {LEVEL} level set", "multiple of the directions", "flatter"),
    "level_area": Measure(f"area of the {LEVEL} level set", "squared multiple of the directions", "flatter"),
    "rise_width": Measure(f"width of the set {LEVEL} above the centre", "multiple of the directions", "flatter"),
    "rise_area": Measure(f"area of the set {LEVEL} above the centre", "squared multiple of the directions", "flatter"),
}


class NoCentreError(ValueError):
    """A profile or plane without the point that all numbers refer to."""


def profile_numbers(profile: Profile) -> dict[str, float]:
    """Return `curvature` (mean over the rows with its `curvature_std`), `doubling_radius` and `level_radius`.

    Raises:
        NoCentreError: there is no point at alpha = 0.
    """
    known = profile.curvature[np.isfinite(profile.curvature)]
    centre = mean_loss(profile)[1][0]
    return {
        "curvature": float(known.mean()) if len(known) else math.nan,
        "curvature_std": float(known.std(ddof=1)) if len(known) > 1 else math.nan,
        "doubling_radius": radius(profile, 2 * centre) if centre > 0 else math.nan,
        "level_radius": radius(profile, centre + LEVEL),
    }


def plane_numbers(plane: Plane) -> dict[str, Any]:
    """Return the measures of a plane, its `plane_train_loss_centre`, and the sets that touch its border.

    `level_*` belong to the set of losses up to 0.1 about the centre and are NaN where the centre's own loss is higher;
    `rise_*` to the set up to 0.1 above the centre's loss, which always exists.

    Raises:
        NoCentreError: there is no point at (0, 0).
    """
    centre = float(plane.train_loss[_zero("x", plane.x), _zero("y", plane.y)])
    inside, above = level_set(plane, LEVEL), level_set(plane, centre + LEVEL)
    return {
        "plane_train_loss_centre": centre,
        "convex_share": convex_share(plane),
        "convex_radius": convex_radius(plane),
        "nonconvex_level": nonconvex_level(plane),
        "level_width": inside.width,
        "level_area": inside.area,
        "rise_width": above.width,
        "rise_area": above.area,
        "touches_border": [name for name, found in (("level", inside), ("rise", above)) if found.touches_border],
    }


def _zero(name: str, axis: Floats) -> int:
    """Return the index of the coordinate 0."""
    if (np.diff(axis) <= 0).any():
        raise ValueError(f"{name} does not increase from point to point; sort the points by their coordinates")
    found = np.flatnonzero(axis == 0)
    if len(found) != 1:
        raise NoCentreError(
            f"{name} has {len(found)} points at 0 between {axis.min():g} and {axis.max():g}; "
            "the numbers need the centre: take bounds of equal size and an odd number of points"
        )
    return int(found[0])


def mean_loss(profile: Profile) -> tuple[Floats, Floats]:
    """Return distances from the centre, (m,), and the training loss there, averaged over rows and both signs.

    Distances are all |alpha| that both sides cover (the one side of a profile that has only one); where the two sides
    have other points, each is interpolated as in `radius`.
    """
    zero, end = _zero("alpha", profile.alpha), np.abs(profile.alpha).max()
    # equally spaced coordinates and their mirror images differ by rounding
    distance = np.round(np.abs(profile.alpha) / end, 12) * end if end else profile.alpha
    loss = np.where(np.isnan(profile.train_loss) & profile.computed, np.inf, profile.train_loss)
    sides = [(distance[zero:], loss[:, zero:]), (distance[zero::-1], loss[:, zero::-1])]
    sides = [side for side in sides if len(side[0]) > 1] or sides[:1]
    shared = np.unique(np.concatenate([reach for reach, _ in sides]))
    shared = shared[shared <= min(reach[-1] for reach, _ in sides)]
    with np.errstate(invalid="ignore"):
        curves = [np.interp(shared**2, reach**2, row) for reach, rows in sides for row in rows]
    return shared, np.mean(curves, axis=0)


def radius(profile: Profile, level: float) -> float:
    """Return the smallest distance from the centre at which `mean_loss` reaches `level`, `inf` if it does not.

    Between points the loss is taken as linear in the squared distance, which is exact for a parabola: the loss of a
    good fit doubles well within the first step, where a straight line would be wrong by orders of magnitude.
    """
    reach, loss = mean_loss(profile)
    if not math.isfinite(level) or np.isnan(loss).any():
        return math.nan
    passed = np.flatnonzero(loss >= level)
    if not len(passed):
        return math.inf
    if (i := int(passed[0])) == 0:
        return 0.0
    share = (level - loss[i - 1]) / (loss[i] - loss[i - 1])
    return math.sqrt(reach[i - 1] ** 2 + share * (reach[i] ** 2 - reach[i - 1] ** 2))


def convexity(plane: Plane) -> tuple[Mask, Mask]:
    """Tell at which inner points the plane is convex, and which of them were computed, both (nx - 2, ny - 2).

    The 2 x 2 Hessian in the plane's coordinates comes from central differences; its smaller eigenvalue may lie below
    zero by `RELATIVE_TOLERANCE` of the larger absolute one and by what one float32 rounding of each loss can do.
    A point with a loss that is not finite, its own or a neighbour's, is not convex.
    """
    if min(len(plane.x), len(plane.y)) < 3:
        none = np.zeros((max(len(plane.x) - 2, 0), max(len(plane.y) - 2, 0)), dtype=bool)
        return none, none
    f = plane.train_loss
    counted, finite = _all_about(plane.computed), _all_about(np.isfinite(f))
    dx, dy = np.diff(plane.x)[:, None], np.diff(plane.y)[None, :]
    with np.errstate(all="ignore"):
        xx = np.diff(np.diff(f, axis=0) / dx, axis=0)[:, 1:-1] * 2 / (dx[1:] + dx[:-1])
        yy = np.diff(np.diff(f, axis=1) / dy, axis=1)[1:-1] * 2 / (dy[:, 1:] + dy[:, :-1])
        across = f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]
        xy = across / ((dx[1:] + dx[:-1]) * (dy[:, 1:] + dy[:, :-1]))
        middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        # weights of the second differences, times a rounding of each loss
        noise = _ROUNDING * (1 + np.abs(f[1:-1, 1:-1])) * 4 * (1 / (dx[1:] * dx[:-1]) + 1 / (dy[:, 1:] * dy[:, :-1]))
        convex = middle - half >= -RELATIVE_TOLERANCE * (np.abs(middle) + half) - noise
    return convex & finite & counted, counted


def _all_about(mask: Mask) -> Mask:
    """Tell for each inner point whether `mask` holds there and at its eight neighbours."""
    found: Mask = np.logical_and.reduce(sliding_window_view(mask, (3, 3)), axis=(2, 3))
    return found


def convex_share(plane: Plane) -> float:
    """Return the share of inner points that are convex, NaN if none were computed."""
    convex, counted = convexity(plane)
    return float(convex.sum() / counted.sum()) if counted.any() else math.nan


def convex_radius(plane: Plane) -> float:
    """Return the distance from (0, 0) to the nearest inner point that is not convex, `inf` if all are."""
    convex, counted = convexity(plane)
    if not counted.any():
        return math.nan
    distance = np.hypot(*np.meshgrid(plane.x[1:-1], plane.y[1:-1], indexing="ij"))
    return float(np.min(distance[counted & ~convex], initial=math.inf))


def nonconvex_level(plane: Plane) -> float:
    """Return the lowest loss of an inner point that is not convex, `inf` if all are."""
    convex, counted = convexity(plane)
    if not counted.any():
        return math.nan
    losses = plane.train_loss[1:-1, 1:-1][counted & ~convex]
    return float(np.min(losses[np.isfinite(losses)], initial=math.inf))


@dataclass(frozen=True)
class LevelSet:
    """The connected set about the centre in which the loss stays up to a level.

    Attributes:
        area: in squared multiples of the directions.
        width: diameter of the disc of that area, in multiples of the directions.
        touches_border: whether it reaches the end of the plane, so that area and width are lower bounds.
    """

    area: float
    width: float
    touches_border: bool


def level_set(plane: Plane, level: float) -> LevelSet:
    """Return the connected set about (0, 0) with losses up to `level`.

    Area and width are NaN if the centre lies above the level or points of the plane were not computed.

    Between points the loss is bilinear in the squared coordinates, exact for a paraboloid whose axes are the plane's;
    a set whose long axis lies across comes out up to a quarter too narrow where it is narrower than a step. Counted
    in cells much smaller than the grid's; a set smaller than one of these has area 0.
    """
    at = _zero("x", plane.x), _zero("y", plane.y)
    if not plane.train_loss[at] <= level or not plane.computed.all() or min(plane.computed.shape) < 2:
        return LevelSet(math.nan, math.nan, False)
    wall = 1e12 * (1 + abs(level))
    loss = np.where(np.isfinite(plane.train_loss), np.minimum(plane.train_loss, wall), wall)
    (along_x, wide), (along_y, high) = _fine(plane.x), _fine(plane.y)
    inside = along_x @ loss @ along_y.T <= level
    labels, _ = ndimage.label(inside)
    # the cells that meet in the centre
    corner = [i * _factor(axis) for i, axis in zip(at, (plane.x, plane.y), strict=True)]
    near = tuple(slice(max(i - 1, 0), i + 1) for i in corner)
    chosen = np.isin(labels, np.setdiff1d(labels[near], 0))
    border = np.concatenate([chosen[0], chosen[-1], chosen[:, 0], chosen[:, -1]])
    area = float(wide @ chosen @ high)
    return LevelSet(area, 2 * math.sqrt(area / math.pi), bool(border.any()))


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


# the families of runs whose ranks are compared
GROUPS: Mapping[str, re.Pattern[str]] = {
    "vgg9": re.compile(r"vgg9.*"),
    "resnet56": re.compile(r"resnet56(_adam)?(_large)?(_nowd)?"),
    "all": re.compile(r".*"),
}
_SEED = re.compile(r"_seed\d+$")


def has_learnt(train_loss: float, classes: int) -> bool:
    """Tell whether a final training loss is clearly below that of guessing among so many classes."""
    return train_loss < UNTRAINED * math.log(classes)


def rank_correlation(values: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """Return Spearman's rank correlation, the number of runs and the two-sided p value; NaN for fewer than 3 runs.

    Pairs with a NaN do not count; `inf` is a rank. Up to 8 runs the p value is the share of all orders with at least
    this correlation (the usual approximation says 0 for 3 runs in order); beyond, that of Student's t.
    """
    pairs = np.array([pair for pair in zip(values, errors, strict=True) if not np.isnan(pair).any()]).reshape(-1, 2)
    n = len(pairs)
    ranks = stats.rankdata(pairs, axis=0)
    if n < 3 or (ranks == ranks[0]).all(axis=0).any():
        return {"spearman": math.nan, "runs": n, "p_value": math.nan}
    unit = (ranks - ranks.mean(axis=0)) / (ranks.std(axis=0) * math.sqrt(n))
    rho = float(np.clip(unit[:, 0] @ unit[:, 1], -1, 1))
    if n > _EXACT_RUNS:
        return {"spearman": rho, "runs": n, "p_value": float(stats.spearmanr(ranks[:, 0], ranks[:, 1]).pvalue)}
    orders = np.array(list(itertools.permutations(unit[:, 0]))) @ unit[:, 1]
    return {"spearman": rho, "runs": n, "p_value": float((np.abs(orders) >= abs(rho) - 1e-9).mean())}


def correlations(runs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the rank correlation of each measure with `test_error` over the runs of each group.

    Repeats with other seeds do not count as runs, nor do those whose `learnt` is false: about weights that have learnt
    nothing the loss is flat, and their error is the largest.
    """
    counted = {name: run for name, run in runs.items() if run.get("learnt", True) and not _SEED.search(name)}
    return {
        group: {
            measure: rank_correlation([run.get(measure, math.nan) for run in chosen], [r["test_error"] for r in chosen])
            for measure in MEASURES
        }
        for group, pattern in GROUPS.items()
        for chosen in [[run for name, run in counted.items() if pattern.fullmatch(name)]]
    }


def spread(runs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the standard deviation of each measure and of `test_error` over a run and its `_seedN` repeats.

    A run without repeats is left out; `seeds` counts the trainings. A measure with a NaN or an `inf` among them has no
    spread (NaN).
    """
    found: dict[str, dict[str, float]] = {}
    for base in dict.fromkeys(_SEED.sub("", name) for name in runs):
        repeats = [run for name, run in runs.items() if _SEED.sub("", name) == base]
        if len(repeats) > 1:
            values = {m: np.array([run.get(m, math.nan) for run in repeats]) for m in ("test_error", *MEASURES)}
            stds = {m: float(v.std(ddof=1)) if np.isfinite(v).all() else math.nan for m, v in values.items()}
            found[base] = {"seeds": len(repeats), **stds}
    return found
