"""Finished grid points on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lossatlas.files import naming, sha256_bytes, write_bytes
from lossatlas.results import Floats, Mask

_Parsed = TypeVar("_Parsed", dict[str, Any], list[Any])


class Journal:
    """An append-only file of finished points: a line with the grid's identity, then a line per point.

    Floats are written as hexadecimal, so NaN, infinities and every bit survive. Each line ends with a hash of itself.
    A line that a kill cut short is dropped at the next opening; one that was altered is refused.

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
            write_bytes(path, _sealed(json.dumps({"grid": identity})))
        *whole, cut = path.read_bytes().split(b"\n")
        found = self._parsed(b"\n".join(whole[:1]), dict).get("grid")
        if found != identity:
            raise ValueError(f"{path} holds points of another grid ({found}, this one is {identity}); remove it")
        self._entries = [self._parsed(line, list) for line in whole[1:]]
        if cut:
            write_bytes(path, b"".join(line + b"\n" for line in whole))

    def _parsed(self, line: bytes, kind: type[_Parsed]) -> _Parsed:
        try:
            text, _, digest = line.decode().rpartition(" ")
            value = json.loads(text)
        except ValueError as error:
            raise self._damaged(line) from error
        if not isinstance(value, kind) or digest != _digest(text):
            raise self._damaged(line)
        return value

    def _damaged(self, entry: object) -> ValueError:
        text = entry.decode(errors="replace") if isinstance(entry, bytes) else str(entry)
        return ValueError(f"{self._path} is damaged ({text[:60]!r} is no point of this grid); remove it")

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
        """Add finished points and force them to the disk.

        Raises:
            OSError: the file cannot be written; the text names it.
        """
        lines = [_sealed(json.dumps([int(i), *(_text(a[i]) for a in values.values())])) for i in indices]
        with naming(self._path), self._path.open("ab") as stream:
            stream.write(b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())


def _text(value: float) -> str:
    text = float(value).hex()
    return f"-{text}" if text == "nan" and np.signbit(value) else text


def _digest(text: str) -> str:
    return sha256_bytes(text.encode())[:16]


def _sealed(text: str) -> bytes:
    return f"{text} {_digest(text)}\n".encode()


def empty_values(names: Iterable[str], n: int) -> dict[str, Floats]:
    """Return an array of NaN per name, each of shape (n,)."""
    return {name: np.full(n, np.nan) for name in names}
