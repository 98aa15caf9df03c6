"""What `lossatlas plane model=...` does, and `line` and `hessian` likewise."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.exports.formats import check_format, export
from lossatlas.exports.targets import require_distinct, require_free
from lossatlas.own.computing import Cost, Result, compute, cost, load
from lossatlas.own.request import Kind, Request, parse
from lossatlas.report.single import plot
from lossatlas.results import HessianMap, Line, Plane, Stored

_MADE: dict[Kind, type[Stored]] = {"plane": Plane, "line": Line, "hessian": HessianMap}


def estimate(
    kind: Kind, words: Sequence[str], *, to: Sequence[Path] = (), force: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return what a request would cost, in words and as plain values, from one point that is measured.

    Args:
        kind: see `map_own`.
        words: see `map_own`.
        to: see `map_own`.
        force: see `map_own`.

    Raises:
        OSError: a file is not there.
        ValueError: the request is impossible, what it names does not fit, or a file is in the way.
    """
    request = parse(kind, words)
    check_files(request, to, force=force)
    found = cost(request, load(request))
    images = " + ".join(f"{n:,} {name}" for name, n in found.examples.items())
    exact = ", fewer with rtol and atol" if request.sampling else ""
    kept = _kept(request)
    left = request.points - kept
    text = (
        f"{kind}: {left:,} points x {images} examples x {found.seconds_per_point:.3g} s per point (measured) "
        f"= about {duration(left * found.seconds_per_point)}{exact}; "
        f"would write {', '.join(map(str, _outputs(request, to)))}"
    )
    if kept:
        text = f"{text}; {kept:,} more points are in {request.journal}, from which the same command goes on"
    return text, _plain(request, found) | {"kept": kept, "files": [str(path) for path in _outputs(request, to)]}


def _outputs(request: Request, to: Sequence[Path]) -> list[Path]:
    return [request.out, request.figure, *to]


def _kept(request: Request) -> int:
    """Return how many points a journal of an earlier try holds; whose they are is told when it is used."""
    if not request.journal.is_file() or request.sampling:
        return 0
    return min(max(request.journal.read_bytes().count(b"\n") - 1, 0), request.points)


def _plain(request: Request, found: Cost) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "points": found.points,
        "examples": found.examples,
        "seconds_per_point": found.seconds_per_point,
        "seconds": (found.points - _kept(request)) * found.seconds_per_point,
        "out": str(request.out),
    }


def duration(seconds: float) -> str:
    """Return seconds in the unit that reads best."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"


def map_own(
    kind: Kind, words: Sequence[str], *, to: Sequence[Path] = (), force: bool = False
) -> tuple[str, dict[str, Any]]:
    """Compute a result and write it, its figure and its exports; return an account in words and as plain values.

    Args:
        kind: of the result.
        words: the request, `key=value` each.
        to: files in other formats, named by their endings.
        force: replace files that are there, though never one that is read.

    Raises:
        OSError: a file is not there or cannot be written.
        ValueError: the request is impossible, what it names does not fit, or a file is in the way.
    """
    request = parse(kind, words)
    check_files(request, to, force=force)
    subject = load(request)
    result = compute(request, subject)
    result.save(request.out)
    plot(result, title=request.model).savefig(request.figure, dpi=150)
    for path in to:
        export(result, path)
    _remove_journal(request)
    written = _outputs(request, to)
    account = {
        "kind": result.KIND,
        "points": request.points,
        "examples": subject.examples,
        "note": "; ".join(filter(None, (*subject.notes, result.note))),
        "files": [str(path) for path in written],
        "provenance": dict(result.provenance),
        **_numbers(result),
    }
    facts = ", ".join(f"{name.replace('_', ' ')} {account[name]:.6g}" for name in _numbers(result))
    note = f"; {account['note']}" if account["note"] else ""
    return f"{result.KIND} of {request.model}: {facts}{note} ({', '.join(map(str, written))})", account


def check_files(request: Request, to: Sequence[Path], *, force: bool) -> None:
    """Refuse files that cannot or must not be written, before anything is loaded.

    Raises:
        ValueError: a format without a place for the result, or a file in the way.
    """
    reads = [Path(text) for text in (request.data, request.test) if text and text.endswith(".npz")]
    reads += [request.checkpoint] if request.checkpoint else []
    require_free("out", request.out, reads=reads, force=force)
    require_free("the figure of out", request.figure, reads=reads, force=force)
    require_distinct([("out", request.out), ("the figure of out", request.figure), *(("to", path) for path in to)])
    for path in to:
        check_format(path, _MADE[request.kind], [len(axis) for axis in request.axes.values()])
        require_free("to", path, reads=reads, force=force)


def _remove_journal(request: Request) -> None:
    request.journal.unlink(missing_ok=True)
    shutil.rmtree(Path(f"{request.journal}.images"), ignore_errors=True)


def _numbers(result: Result) -> dict[str, float]:
    """Return the numbers that a result is known by."""
    if isinstance(result, HessianMap):
        return {
            "lambda_max": _extreme(result.lambda_max, np.max),
            "lambda_min": _extreme(result.lambda_min, np.min),
            "converged": float(result.converged.mean()),
        }
    axes = [getattr(result, name) for name in result.AXES]
    found = {
        f"{name}_loss": _extreme(result.train_loss, way) for name, way in (("lowest", np.min), ("highest", np.max))
    }
    if all((axis == 0).any() for axis in axes):
        centre = tuple(int(np.flatnonzero(axis == 0)[0]) for axis in axes)
        found = {"centre_loss": float(result.train_loss[centre]), **found}
    return found


def _extreme(values: Any, way: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(way(finite)) if finite.size else math.nan
