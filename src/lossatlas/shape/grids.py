"""Grids that planes share, and their centre: numbers of two planes compare only where the points are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from lossatlas.results import Floats, Plane

_SAME = 1e-9  # of the larger coordinate: equally spaced points of two resolutions differ by rounding


class NoCentreError(ValueError):
    """A profile or plane without the point that all numbers refer to."""


def centre(name: str, axis: Floats) -> int:
    """Return the index of the coordinate 0.

    Raises:
        NoCentreError: there is none.
        ValueError: the coordinates do not increase.
    """
    if (np.diff(axis) <= 0).any():
        raise ValueError(f"{name} does not increase from point to point; sort the points by their coordinates")
    found = np.flatnonzero(axis == 0)
    if len(found) != 1:
        raise NoCentreError(
            f"{name} has {len(found)} points at 0 between {axis.min():g} and {axis.max():g}; "
            "the numbers need the centre: take bounds of equal size and an odd number of points"
        )
    return int(found[0])


@dataclass(frozen=True)
class Grid:
    """The coordinates of a plane's points, in multiples of its directions."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Points along x and y."""
        return len(self.x), len(self.y)

    def __str__(self) -> str:
        """Return size and ranges for a message."""
        spans = " and ".join(f"{axis[0]:g} to {axis[-1]:g}" for axis in (self.x, self.y))
        return f"{len(self.x)} x {len(self.y)} points over {spans}"


def grid_of(plane: Plane) -> Grid:
    """Return the grid of a plane."""
    return Grid(tuple(plane.x.tolist()), tuple(plane.y.tolist()))


def _step(fine: tuple[float, ...], coarse: tuple[float, ...]) -> int | None:
    """Return k where every k-th coordinate of `fine`, from the first to the last, is one of `coarse`; else None."""
    if len(coarse) < 2 or len(fine) < 2:
        return 1 if fine == coarse else None
    step, rest = divmod(len(fine) - 1, len(coarse) - 1)
    if rest or not step:
        return None
    taken, wanted = np.array(fine[::step]), np.array(coarse)
    return step if np.abs(taken - wanted).max() <= _SAME * np.abs(wanted).max() else None


def _steps(fine: Grid, coarse: Grid) -> tuple[int, int] | None:
    along_x, along_y = _step(fine.x, coarse.x), _step(fine.y, coarse.y)
    return None if along_x is None or along_y is None else (along_x, along_y)


def thinned(plane: Plane, grid: Grid) -> Plane:
    """Return the plane with every k-th point only, so that those of `grid` are left.

    Raises:
        ValueError: the points of `grid` are no such selection: other ranges, or resolutions that do not nest.
    """
    steps = _steps(grid_of(plane), grid)
    if steps is None:
        raise ValueError(
            f"{grid_of(plane)} cannot be thinned to {grid}; "
            "take the same range and n points where n - 1 is a multiple of the coarser grid's"
        )
    part = slice(None, None, steps[0]), slice(None, None, steps[1])
    values = {name: getattr(plane, name)[part] for name in plane.DIMS}
    return replace(plane, x=plane.x[part[0]], y=plane.y[part[1]], **values)


def common_grid(grids: Iterable[Grid]) -> Grid | None:
    """Return that one of the grids to which the most can be thinned, of several the coarsest; None of none."""
    given = list(grids)

    def order(grid: Grid) -> tuple[int, int, tuple[float, ...], tuple[float, ...]]:
        return -sum(_steps(other, grid) is not None for other in given), len(grid.x) * len(grid.y), grid.x, grid.y

    return min(given, key=order, default=None)
