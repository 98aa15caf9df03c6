"""Losses, image by image, at the points of a coarse grid: computed when needed, kept while needed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lossatlas.landscape.coarse import Place
from lossatlas.results import Floats
from lossatlas.sealed import read_array, write_array

# losses and correctness (1 or 0) of the images from `start` to before `stop` at a place
Measure = Callable[[Place, int, int], Floats]  # (2, stop - start)


class Corner:
    """Losses and correctness of the first images at a point, and their means.

    Args:
        values: (2, images).
        inner: images of the next finer grid.

    Attributes:
        values: as given.
        means: over all of them, (2,).
        squares: mean squares over all, (2,).
        fourths: mean fourth powers over all, (2,).
        inner: means over the images of the next finer grid, (2,).
    """

    def __init__(self, values: Floats, inner: int) -> None:
        """See the class."""
        self.values = values
        with np.errstate(all="ignore"):
            squares = values**2
            self.means, self.squares, self.fourths = values.mean(1), squares.mean(1), (squares**2).mean(1)
            self.inner = values[:, : inner or None].mean(1)


@dataclass
class Corners:
    """The values of the first images at the points of a coarse grid, row by row.

    Memory does not grow with the number of rows: only those in use are kept. With a folder each point is a file there
    while its row is in use, so that a kill loses one point at most, or two rows as the next one begins.

    Attributes:
        images: how many images.
        measure: what computes them.
        inner: images at the points of the next finer grid; 0 without one.
        folder: where the files are; None for none.
        stem: the beginning of the files' names: what tells them from those of other grids.
    """

    images: int
    measure: Measure
    inner: int = 0
    folder: Path | None = None
    stem: str = ""
    _rows: dict[int, dict[int, Corner]] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows that are kept."""
        return tuple(self._rows)

    def __getitem__(self, place: Place) -> Corner:
        """Return what is known at a place."""
        row = self._rows.setdefault(place[0], {})
        if place[1] not in row:
            row[place[1]] = Corner(self._stored(place), self.inner)
        return row[place[1]]

    def _stored(self, place: Place) -> Floats:
        if self.folder is None:
            return self.measure(place, 0, self.images)
        path = self._path(place)
        if path.exists():
            return np.asarray(read_array(path), dtype=np.float64)
        values = self.measure(place, 0, self.images)
        write_array(path, values)
        return values

    def _path(self, place: Place) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.stem}-{place[0]}-{place[1]}.npy"

    def keep(self, rows: Collection[int]) -> None:
        """Forget all rows but these, and remove their files."""
        for row in [row for row in self._rows if row not in rows]:
            columns = self._rows.pop(row)
            if self.folder:
                for column in columns:
                    self._path((row, column)).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget all rows, and remove all files: also those that a killed run left."""
        self._rows.clear()
        for path in self.folder.glob(f"{self.stem}-*.npy") if self.folder else ():
            path.unlink()
