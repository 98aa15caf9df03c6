"""Finished grid points on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lossatlas.files import write_bytes, write_text
from lossatlas.results import Floats, Mask

_Parsed = TypeVar("_Parsed", dict[str, Any], list[Any])


class Journal:
    """An append-only file of finished points: a line with the grid's identity, then a line per point.

    Floats are written as hexadecimal, so NaN, infinities and every bit survive. A line that a kill cut short is
    dropped at the next opening.

    Args:
        path: the file; it is made on first use.
        identity: hash of everything the values depend on.

    Raises:
        ValueError: the file belongs to another grid or is damaged.
    """

    def __init__(self, path: Path | str, identity: str) -> None:
        """See the class."""
        self._path = path = Path(path)
        if not path.exists():
            write_text(path, json.dumps({"grid": identity}) + "\n")
        *whole, cut = path.read_bytes().split(b"\n")
        found = self._parsed(b"\n".join(whole[:1]), dict).get("grid")
        if found != identity:
            raise ValueError(f"{path} holds points of another grid ({found}, this one is {identity}); remove it")
        self._entries = [self._parsed(line, list) for line in whole[1:]]
        if cut:
            write_bytes(path, b"".join(line + b"\n" for line in whole))

    def _parsed(self, line: bytes, kind: type[_Parsed]) -> _Parsed:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise self._damaged(line) from error
        if not isinstance(value, kind):
            raise self._damaged(line)
        return value

    def _damaged(self, entry: object) -> ValueError:
        return ValueError(f"{self._path} is damaged ({str(entry)[:60]!r} is no point of this grid); remove it")

    def restore(self, values: Mapping[str, Floats], computed: Mask) -> None:
        """Fill flat value arrays and their mask with the points on disk.

        Raises:
            ValueError: an entry is no point of this grid.
        """
        for entry in self._entries:
            try:
                index, *numbers = entry[0], *map(float.fromhex, entry[1:])
                fits = type(index) is int and 0 <= index < len(computed) and len(numbers) == len(values)
            except (ValueError, TypeError, IndexError) as error:
                raise self._damaged(entry) from error
            if not fits:
                raise self._damaged(entry)
            computed[index] = True
            for array, number in zip(values.values(), numbers, strict=True):
                array[index] = number

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
