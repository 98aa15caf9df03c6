"""Which modules of this package a module imports, directly or not, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parent
_ROOT = PACKAGE.name


def module_path(name: str) -> Path | None:
    """Return the source file of `lossatlas.a.b`, None if there is no such module."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imported(name: str, path: Path) -> Iterator[str]:
    """Yield the names of modules and attributes that a module imports, those of its parent packages included."""
    parts = name.split(".")
    yield from (".".join(parts[:i]) for i in range(1, len(parts)))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@cache
def _neighbours(name: str) -> frozenset[str]:
    path = module_path(name)
    if path is None:
        return frozenset()
    found = {other for other in _imported(name, path) if other.split(".")[0] == _ROOT}
    return frozenset(other for other in found if module_path(other))


def import_closure(names: Iterable[str]) -> tuple[Path, ...]:
    """Return the sorted source files of the modules `names` and of all they import, lazy imports included.

    Raises:
        ValueError: a name is no module of this package.
    """
    waiting = list(names)
    for name in waiting:
        if module_path(name) is None:
            raise ValueError(f"{name} is no module of {_ROOT}")
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_neighbours(name))
    return tuple(sorted(path for path in map(module_path, seen) if path))
