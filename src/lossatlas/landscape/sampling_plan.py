"""Which coarse grids make a sampled plane cheapest, from variances that are measured at a few random points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch

from lossatlas.landscape.coarse import CoarseGrid
from lossatlas.landscape.coarse_corners import Measure
from lossatlas.landscape.sampling import Sampling, carrying
from lossatlas.landscape.sampling_estimate import Controls, cross_fitted
from lossatlas.randomness import generator
from lossatlas.results import Floats

# cells along the longer axis that are tried
_CELLS = (2, 3, 5, 7, 10, 14, 20, 28, 40, 56)
# images at the points of a second grid that are tried
_SECOND = tuple(128 * factor * 2**i for i in range(8) for factor in (2, 3))
# measured variances are multiplied by this: a few points do not show the largest ones
_MARGIN = 1.25
# the share of an exact plane's evaluations that pilots may take, and how many there are at least
_SHARE, _LEAST = 0.04, 6
# what the least number of them may take: fewer grids are tried on small planes, and the smallest are exact without any
_AT_MOST = 0.05


@dataclass(frozen=True)
class Pilot:
    """What was measured at a random point.

    Attributes:
        place: its indices.
        loss: mean of the pilot's images.
        variances: from image to image, of what the corners of a cell leave of the losses, by the cell's size in grid
            points; None where something was not finite. A size on whose coarse grid the point lies is left out.
        carriers: the share of the images that carry the losses' mean square at the corners, by the same size.
    """

    place: tuple[int, int]
    loss: float
    variances: dict[int, float | None]
    carriers: dict[int, float]


@dataclass(frozen=True)
class Plan:
    """The steps of the coarse grids, the images at their points, and what they were chosen from.

    Attributes:
        steps: as those of `Sampling`.
        images: images at the points of each grid.
        predicted: image evaluations at all points, as predicted with a margin; 0 where the steps were given.
        pilots: what was measured.
        pilot_evaluations: image evaluations for that.
    """

    steps: tuple[int, ...]
    images: tuple[int, ...]
    predicted: float = 0.0
    pilots: tuple[dict[str, Any], ...] = ()
    pilot_evaluations: int = 0

    @classmethod
    def read(cls, content: dict[str, Any]) -> Self:
        """Return a plan from its fields in JSON."""
        lists = {name: tuple(content[name]) for name in ("steps", "images", "pilots")}
        return cls(**{**content, **lists})


def plan(x: Floats, y: Floats, images: int, measure: Measure, sampling: Sampling, name: str) -> Plan:
    """Choose the coarse grids for a data set of `images` images, or take those that the settings name.

    Where nothing is named, a plane costs at most a twentieth more than an exact one.

    Args:
        x: coordinates along the first axis.
        y: along the second.
        images: how many there are.
        measure: what computes their values.
        sampling: the settings.
        name: of the data set; its pilots are points of their own.
    """
    if sampling.minimum > sampling.share * images:
        return Plan((1,), (images,))
    if sampling.steps:
        return Plan(sampling.steps, (images, min(sampling.images, images)) if sampling.images else (images,))
    pilots, spent = _measured(x, y, images, measure, sampling, name)
    whole = float(len(x) * len(y) * images)
    best = min(_options(x, y, images, pilots, sampling), default=(whole, (1,), (images,)))
    if best[0] >= whole:
        best = whole, (1,), (images,)
    return Plan(best[1], best[2], best[0], tuple(asdict(pilot) for pilot in pilots), spent)


def _measured(
    x: Floats, y: Floats, whole: int, measure: Measure, sampling: Sampling, name: str
) -> tuple[list[Pilot], int]:
    images = min(sampling.pilot_images, whole)
    draws = generator(sampling.seed, "sampling", "pilots", name)
    longest = max(len(x), len(y)) - 1
    exact = len(x) * len(y) * whole
    least = min(_LEAST, sampling.pilots)
    corners = math.prod(2 if len(axis) > 1 else 1 for axis in (x, y))
    # a pilot takes images at a point and, for each grid, at the corners about it
    affordable = (int(_AT_MOST * exact / least) // images - 1) // corners
    steps = sorted({-(-longest // cells) for cells in _CELLS} - {0, 1})[: max(affordable, 0)]
    grids = {k: CoarseGrid(x, y, (k,)) for k in steps}
    if not grids:
        return [], 0
    each = images * (1 + corners * len(grids))
    pilots, spent = [], 0
    for _ in range(min(sampling.pilots, max(least, int(_SHARE * exact / each)))):
        place = (_drawn(len(x), draws), _drawn(len(y), draws))
        cells = {k: grid.cell(place) for k, grid in grids.items() if place not in grid}
        losses = {p: measure(p, 0, images)[0] for p in {place: 0, **{c: 0 for v in cells.values() for c in v.corners}}}
        spent += images * len(losses)
        known = {k: np.column_stack([losses[p] for p in cell.corners]) for k, cell in cells.items()}
        variances = {k: _variance(losses[place], values, cells[k].weights) for k, values in known.items()}
        carriers = {k: _carriers(values, cells[k].weights) for k, values in known.items()}
        pilots.append(Pilot(place, float(losses[place].mean()), variances, carriers))
    return pilots, spent


def _drawn(n: int, draws: torch.Generator) -> int:
    return int(torch.randint(n, (1,), generator=draws))


def _variance(losses: Floats, values: Floats, weights: Floats) -> float | None:
    with np.errstate(all="ignore"):
        if not (np.isfinite(values).all() and np.isfinite(losses).all()):
            return None
        means, squares = values.mean(0), (values**2).mean(0)
        found = cross_fitted(losses, [Controls(values, weights, len(values), means, squares, means)])
        return found.variance if math.isfinite(found.variance) else None


def _carriers(values: Floats, weights: Floats) -> float:
    with np.errstate(all="ignore"):
        return carrying((values**2).mean(0) @ weights, (values**4).mean(0) @ weights)


def _options(
    x: Floats, y: Floats, images: int, pilots: list[Pilot], sampling: Sampling
) -> Iterator[tuple[float, tuple[int, ...], tuple[int, ...]]]:
    """Yield predicted costs with steps and images, for the steps that every pilot has measured or lies on."""
    points, steps = len(x) * len(y), sorted({k for pilot in pilots for k in pilot.variances})
    for far in steps:
        corners = len(CoarseGrid(x, y, (far,)))
        alone = _mean([_alone(pilot, far, images, sampling) for pilot in pilots if far in pilot.variances])
        yield corners * images + (points - corners) * alone, (far,), (images,)
        for near in (k for k in steps if k < far):
            both = len(CoarseGrid(x, y, (far, near)))
            shared = [pilot for pilot in pilots if far in pilot.variances and near in pilot.variances]
            for count in (m for m in _SECOND if shared and sampling.minimum < m < images):
                second = _mean([max(count, _alone(pilot, far, images, sampling)) for pilot in shared])
                rest = _mean([_together(pilot, far, near, count, images, sampling) for pilot in shared])
                cost = corners * images + (both - corners) * second + (points - both) * rest
                yield cost, (far, near), (images, count)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _alone(pilot: Pilot, step: int, images: int, sampling: Sampling) -> float:
    variance = pilot.variances[step]
    if variance is None:
        return images
    wanted = sampling.needed(_MARGIN * variance, pilot.loss, images)
    wanted = max(wanted, sampling.least(pilot.carriers[step]))
    return wanted if wanted <= sampling.share * images else images


def _together(pilot: Pilot, far: int, near: int, count: int, images: int, sampling: Sampling) -> float:
    variance, rest = pilot.variances[near], pilot.variances[far]
    if variance is None or rest is None:
        return images
    floor = _MARGIN * rest * (1 / count - 1 / images)
    wanted = sampling.needed(_MARGIN * variance, pilot.loss, count, floor=floor)
    wanted = max(wanted, *(sampling.least(pilot.carriers[step]) for step in (far, near)))
    return wanted if wanted < count else max(count, _alone(pilot, far, images, sampling))
