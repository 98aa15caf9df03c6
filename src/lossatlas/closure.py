"""Which modules of this package a module imports, directly or not, read from the source without running it.

Sources are read and hashed once per process: what a process computes belongs to the code it started with.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from lossatlas.files import sha256_file, sha256_json

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
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below `tree`, leaving out what stands under `if TYPE_CHECKING:` and never runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _running(ast.Module(node.orelse, []))
            continue
        yield node
        yield from _running(node)


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


@cache
def source_hash(path: Path) -> str:
    """Return the hash that a file of the package had when this process first asked."""
    return sha256_file(path)


@cache
def package_hash() -> str:
    """Return the hash of all sources and data files of the package when this process first asked."""
    kinds = (".py", ".yaml", ".j2")
    files = sorted(path for path in PACKAGE.rglob("*") if path.suffix in kinds)
    return sha256_json({path.relative_to(PACKAGE).as_posix(): source_hash(path) for path in files})


def require_unchanged(paths: Iterable[Path]) -> None:
    """Refuse to go on if a file has changed since this process first hashed it.

    Raises:
        SourceChangedError: one has; what was computed may belong to either version.
    """
    for path in paths:
        if not path.is_file() or sha256_file(path) != source_hash(path):
            raise SourceChangedError(f"{path} changed while it was in use; run the same command again")


class SourceChangedError(RuntimeError):
    """The package's source was edited during a computation."""
