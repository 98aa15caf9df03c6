"""Finished grid points on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lossatlas.files import write_text
from lossatlas.results import Floats, Mask


class Journal:
    """An append-only file of finished points: a line with the grid's identity, then a line per point.

    Floats are written as hexadecimal, so NaN, infinities and every bit survive. A line that a kill cut short is
    dropped at the next opening.

    Args:
        path: the file; it is made on first use.
        identity: hash of everything the values depend on.

    Raises:
        ValueError: the file belongs to another grid.
    """

    def __init__(self, path: Path, identity: str) -> None:
        """See the class."""
        self._path = path
        if not path.exists():
            write_text(path, json.dumps({"grid": identity}) + "\n")
        lines = path.read_text().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        found = json.loads(whole[0])["grid"] if whole else None
        if found != identity:
            raise ValueError(f"{path} holds points of another grid ({found}, this one is {identity}); remove it")
        if len(whole) < len(lines):
            write_text(path, "".join(whole))
        self._entries = [json.loads(line) for line in whole[1:]]

    def restore(self, values: Mapping[str, Floats], computed: Mask) -> None:
        """Fill flat value arrays and their mask with the points on disk."""
        for index, *entry in self._entries:
            computed[index] = True
            for array, value in zip(values.values(), entry, strict=True):
                array[index] = float.fromhex(value)

    def append(self, indices: Iterable[int], values: Mapping[str, Floats]) -> None:
        """Add finished points and force them to the disk."""
        lines = [json.dumps([int(i), *(float(a[i]).hex() for a in values.values())]) for i in indices]
        with self._path.open("a") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())


def empty_values(names: Iterable[str], n: int) -> dict[str, Floats]:
    """Return an array of NaN per name, each of shape (n,)."""
    return {name: np.full(n, np.nan) for name in names}
