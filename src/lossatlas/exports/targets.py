"""Whether a file may be written: never over what is read, and over what is there only where the user says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def require_free(what: str, path: Path, *, reads: Iterable[Path] = (), force: bool = False) -> None:
    """Refuse a file that must not be written.

    Args:
        what: the option that named it, for errors.
        path: the file to write.
        reads: files that the command reads, which are never replaced.
        force: any other file may be replaced.

    Raises:
        ValueError: the file is one of `reads`, or there already, or its folder can be none.
    """
    for other in reads:
        if _same(path, other):
            raise ValueError(f"{what} = {str(path)!r} is the file that is read ({other}); choose another name")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"{what} = {str(path)!r} is impossible: {above} is a file, no folder; choose another name")
    if path.is_dir():
        raise ValueError(f"{what} = {str(path)!r} is a folder; name a file in it")
    if not force and (path.exists() or path.is_symlink()):
        raise ValueError(f"{what} = {str(path)!r} is there already; choose another name, or replace it by --force")


def require_distinct(named: Iterable[tuple[str, Path]]) -> None:
    """Refuse two options that name one file.

    Raises:
        ValueError: two are the same.
    """
    seen: list[tuple[str, Path]] = []
    for what, path in named:
        for earlier, other in seen:
            if _same(path, other):
                raise ValueError(f"{what} and {earlier} both name {str(path)!r}; choose another name")
        seen.append((what, path))


def _same(a: Path, b: Path) -> bool:
    if a.resolve() == b.resolve():
        return True
    return a.exists() and b.exists() and a.samefile(b)
