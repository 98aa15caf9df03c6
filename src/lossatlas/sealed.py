"""Files of unfinished work with a checksum: what a disk has altered is refused by name, never read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.files import canonical_json, sha256_bytes, write_bytes

_MARK = b"\nsha256 "
_TAIL = len(_MARK) + 64


def write_sealed(path: Path, content: bytes) -> None:
    """Write `content` and, behind it, its hash, atomically."""
    write_bytes(path, content + _MARK + sha256_bytes(content).encode())


def read_sealed(path: Path) -> bytes:
    """Return what `write_sealed` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file was cut short or altered; the text names it and says what to do.
    """
    whole = path.read_bytes()
    content, tail = whole[:-_TAIL], whole[-_TAIL:]
    if tail != _MARK + sha256_bytes(content).encode():
        raise _damaged(path)
    return content


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as NumPy does, sealed; `numpy.load` reads it too, without a test of the seal."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write_sealed(path, stream.getvalue())


def read_array(path: Path) -> npt.NDArray[Any]:
    """Return what `write_array` wrote, or raise as `read_sealed` does."""
    found: npt.NDArray[Any] = np.load(io.BytesIO(read_sealed(path)), allow_pickle=False)
    return found


def write_values(path: Path, values: Any) -> None:
    """Write plain values as JSON with the hash of their text; NaN and infinities become null."""
    write_bytes(path, _sealed_text(values))


def read_values(path: Path) -> Any:
    """Return what `write_values` wrote, or raise as `read_sealed` does."""
    whole = path.read_bytes()
    try:
        values = json.loads(whole)["values"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if _sealed_text(values) != whole:
        raise _damaged(path)
    return values


def kept_values(path: Path, compute: Callable[[], Any]) -> Any:
    """Return the plain values in a file; if there is none, those that `compute` returns, after writing them."""
    if not path.exists():
        write_values(path, compute())
    return read_values(path)


def _sealed_text(values: Any) -> bytes:
    text = canonical_json(values)
    return f'{{"sha256":"{sha256_bytes(text.encode())}","values":{text}}}\n'.encode()


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{path} is damaged: it was cut short, or its content does not have the hash stored with it; "
        "delete it, and what it held is computed again"
    )
