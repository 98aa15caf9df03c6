"""Coarse grids within a plane's grid: which points they hold, and the cell about each other point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossatlas.results import Floats

Place = tuple[int, int]  # indices along x and y


@dataclass(frozen=True)
class Cell:
    """The corners about a point and their weights in bilinear interpolation; fewer where an axis has one point only."""

    corners: tuple[Place, ...]
    weights: Floats  # (corners,)


def _marks(n: int, steps: tuple[int, ...]) -> list[int]:
    """Return every k-th index and the last, then the same within each interval for the next step."""
    marks = [0, n - 1] if n > 1 else [0]
    for step in steps:
        marks = sorted({i for a, b in zip(marks, marks[1:], strict=False) for i in range(a, b, step)} | {n - 1})
    return marks


class CoarseGrid:
    """Every k-th point of each axis of a grid, ends included; with several steps, each cell is divided again.

    Args:
        x: coordinates along the first axis of the whole grid.
        y: along the second.
        steps: distances of the points in indices, the largest first; the last cell of an axis may be smaller.
    """

    def __init__(self, x: Floats, y: Floats, steps: tuple[int, ...]) -> None:
        """See the class."""
        self._axes = (x, y)
        self.marks = (_marks(len(x), steps), _marks(len(y), steps))

    def __len__(self) -> int:
        """The number of points."""
        return len(self.marks[0]) * len(self.marks[1])

    @property
    def everywhere(self) -> bool:
        """Whether every place of the whole grid is one of the points."""
        return len(self) == len(self._axes[0]) * len(self._axes[1])

    def __contains__(self, place: Place) -> bool:
        """Tell whether a place of the whole grid is one of the points."""
        return all(i in marks for i, marks in zip(place, self.marks, strict=True))

    def cell(self, place: Place) -> Cell:
        """Return the cell about a place: on its border the cell that comes first."""
        (a, u), (b, v) = (self._interval(axis, i) for axis, i in enumerate(place))
        corners = tuple((i, j) for i in a for j in b)
        return Cell(corners, np.outer(u, v).ravel())

    def _interval(self, axis: int, i: int) -> tuple[tuple[int, ...], Floats]:
        marks, values = self.marks[axis], self._axes[axis]
        if len(marks) == 1:
            return (marks[0],), np.ones(1)
        after = max(int(np.searchsorted(marks, i)), 1)
        low, high = marks[after - 1], marks[after]
        width = values[high] - values[low]
        share = (values[i] - values[low]) / width if width else 0.0
        return (low, high), np.array([1 - share, share])
