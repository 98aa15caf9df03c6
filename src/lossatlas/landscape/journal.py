"""Finished grid points on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from lossatlas.files import naming, sha256_bytes, write_bytes
from lossatlas.results import Floats, Mask

PATIENCE = 1.0  # seconds for one that is about to close the same journal
_Parsed = TypeVar("_Parsed", dict[str, Any], list[Any])


class Journal:
    """An append-only file of finished points: a line with the grid's identity, then a line per point.

    Floats are written as hexadecimal, so NaN, infinities and every bit survive. Each line ends with a hash of itself.
    A line that a kill cut short is dropped at the next opening; one that was altered is refused.

    An open journal is locked by the file `<path>.lock`, which closing removes. The system frees the lock of a process
    that dies; the empty file it leaves does no harm.

    Args:
        path: the file; it is made on first use, and made anew if it is of another grid and holds no points.
        identity: hash of everything the values depend on.

    Raises:
        ValueError: the file holds points of another grid, is damaged, or is open elsewhere.
        OSError: the file cannot be written; the text names it.
    """

    def __init__(self, path: Path | str, identity: str) -> None:
        """See the class."""
        self._path = Path(path)
        self._lock = self._locked()
        try:
            self._entries = self._read(identity)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let others open the journal; a second call does nothing."""
        if self._lock.is_locked:
            Path(self._lock.lock_file).unlink(missing_ok=True)  # before others can have it
            self._lock.release()

    def _locked(self) -> FileLock:
        file = self._path.with_name(f"{self._path.name}.lock")
        lock = FileLock(file)
        try:
            with naming(self._path, file):
                file.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise ValueError(
                f"{self._path} is open elsewhere, here or in another process; wait until that has ended, "
                "or name another journal"
            ) from None
        return lock

    def _read(self, identity: str) -> list[list[Any]]:
        path = self._path
        if not path.exists():
            write_bytes(path, _sealed(json.dumps({"grid": identity})))
        *whole, cut = path.read_bytes().split(b"\n")
        found = str(self._parsed(b"\n".join(whole[:1]), dict).get("grid"))
        if found != identity and len(whole) > 1:
            raise ValueError(
                f"{path} holds points of other data, weights, loss or grid than this one ({found[:8]}, this one is "
                f"{identity[:8]}); remove it or choose another out="
            )
        if found != identity:  # of a try that failed before its first point: there is nothing to lose
            write_bytes(path, _sealed(json.dumps({"grid": identity})))
            whole, cut = whole[:0], b""
        entries = [self._parsed(line, list) for line in whole[1:]]
        if cut:
            write_bytes(path, b"".join(line + b"\n" for line in whole))
        return entries

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
