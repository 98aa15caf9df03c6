"""Atomic, byte-stable files and their hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REMEDIES = {
    **dict.fromkeys(_NO_ROOM, "make room there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make it writable"),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "move away what is in its place"),
}


@contextmanager
def naming(path: Path, *others: Path) -> Iterator[None]:
    """Let errors of the file system that concern `path`, the temporary `others` or no path name `path` and a remedy."""
    try:
        yield
    except OSError as error:
        names = {None, *map(str, (path, *others, *path.parents))}
        if error.errno is None or not names & {error.filename, error.filename2} or error.errno == errno.ENOENT:
            raise
        remedy = _REMEDIES.get(error.errno, "see to that disk")
        reason = f"{error.strerror}; {remedy} and run the same command again; nothing unfinished was left there"
        raise OSError(error.errno, f"cannot write {path} ({reason})") from error


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on error it is removed.

    The content is flushed to the disk before the rename, so a kill at any moment leaves the old file or the new one.

    Raises:
        OSError: `path` cannot be written; the text names it, also where the system does not (a full disk).
    """
    path = Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path, temporary):
            yield temporary
            _flush(temporary)
            temporary.chmod(0o644)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Force a file's content to the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def _plain(value: Any) -> Any:
    """Return `value` with non-finite floats as null (JSON has none) and every mapping key a string."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def canonical_json(value: Any, *, indent: int | None = None) -> str:
    """Return sorted JSON, the same text for equal values; NaN and infinities become null."""
    separators = (",", ":") if indent is None else None
    return json.dumps(_plain(value), sort_keys=True, indent=indent, separators=separators, allow_nan=False)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` to `path` atomically as sorted, indented JSON."""
    write_text(path, canonical_json(value, indent=2) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, not UTF-8, or otherwise no JSON.
    """
    content = Path(path).read_bytes()
    try:
        return json.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{path} is no valid JSON ({error}); remove it and run the stage again") from error


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_json(value: Any) -> str:
    """Return the hexadecimal SHA-256 of the canonical JSON of `value`."""
    return sha256_bytes(canonical_json(value).encode())


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_path(path: Path) -> str:
    """Return the hash of a file, or of the names and contents of all files below a folder."""
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist")
    below = sorted(item for item in path.rglob("*") if item.is_file())
    return sha256_json({item.relative_to(path).as_posix(): sha256_file(item) for item in below})


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed `replacing` or `publish` of exactly this target left beside it."""
    # what tempfile puts between the dots has none: `.a.b.x1y2.part` is of the target `a.b`, not of `a`
    leftover = re.compile(rf"\.{re.escape(target.name)}\.[^.]+\.part")
    for path in target.parent.iterdir():
        if not leftover.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _copy(source: str, target: str) -> str:
    """Copy a file through to the disk."""
    shutil.copyfile(source, target)
    _flush(Path(target))
    return target


def _remedy(reason: str) -> str:
    """Return what helps against the text of an error of `shutil`, which has its number only there."""
    number = re.match(r"\[Errno (\d+)\]", reason)
    return "make room there" if number and int(number[1]) in _NO_ROOM else "see to that file"


def publish(source: Path, target: Path) -> None:
    """Copy the file or folder `source` to `target` so that `target` appears whole or not at all.

    Leftovers of a publication of `target` that was killed are removed: the caller holds a lock that keeps others from
    publishing the same target.

    Raises:
        OSError: `target` cannot be written; the text names it.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    if source.is_file():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        return
    with naming(target):
        holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        fresh = holder / "new"
        try:
            shutil.copytree(source, fresh, copy_function=_copy)
        except shutil.Error as error:  # a list of all files that could not be copied, each with its reason
            reason = str(error.args[0][0][2])
            remedy = f"{_remedy(reason)} and run the same command again"
            raise OSError(f"cannot write {target} ({reason}; {remedy})") from error
        old = holder / "old"
        try:
            if target.exists():
                os.replace(target, old)
            os.replace(fresh, target)
        except BaseException:  # a signal between the two as well
            if old.exists() and not target.exists():
                os.replace(old, target)
            raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)
