"""What `lossatlas plane model=...` does, and `line` and `hessian` likewise."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.exports.formats import FORMATS, export
from lossatlas.own.computing import Cost, Result, compute, cost, load
from lossatlas.own.request import Kind, Request, parse
from lossatlas.report.single import plot
from lossatlas.results import HessianMap
from lossatlas.results.storage import stored_kind


def estimate(kind: Kind, words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return what a request would cost, in words and as plain values, from one point that is measured.

    Raises:
        OSError: a file is not there.
        ValueError: the request is impossible, or what it names does not fit.
    """
    request = parse(kind, words)
    found = cost(request, load(request))
    images = " + ".join(f"{n:,} {name}" for name, n in found.examples.items())
    exact = ", fewer with rtol and atol" if request.sampling else ""
    text = (
        f"{kind}: {found.points:,} points x {images} examples x {found.seconds_per_point:.3g} s per point (measured) "
        f"= about {duration(found.seconds)}{exact}; would write {request.out} and {request.figure}"
    )
    return text, _plain(request, found)


def _plain(request: Request, found: Cost) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "points": found.points,
        "examples": found.examples,
        "seconds_per_point": found.seconds_per_point,
        "seconds": found.seconds,
        "out": str(request.out),
    }


def duration(seconds: float) -> str:
    """Return seconds in the unit that reads best."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"


def map_own(kind: Kind, words: Sequence[str], *, to: Sequence[Path] = ()) -> tuple[str, dict[str, Any]]:
    """Compute a result and write it, its figure and its exports; return an account in words and as plain values.

    Args:
        kind: of the result.
        words: the request, `key=value` each.
        to: files in other formats, named by their endings.

    Raises:
        OSError: a file is not there or cannot be written.
        ValueError: the request is impossible, what it names does not fit, or a file in the way is none of ours.
    """
    request = parse(kind, words)
    for path in to:
        if path.suffix.lower() not in FORMATS:
            raise ValueError(f"cannot write {path.name!r}: endings are {', '.join(FORMATS)}")
    if request.out.exists() and stored_kind(request.out) is None:
        raise ValueError(f"{request.out} is there and no result of this program; name another out=")
    subject = load(request)
    result = compute(request, subject)
    result.save(request.out)
    plot(result, title=request.model).savefig(request.figure, dpi=150)
    for path in to:
        export(result, path)
    _remove_journal(request)
    written = [request.out, request.figure, *to]
    account = {
        "kind": result.KIND,
        "points": request.points,
        "examples": subject.examples,
        "note": result.note,
        "files": [str(path) for path in written],
        "provenance": dict(result.provenance),
        **_numbers(result),
    }
    facts = ", ".join(f"{name.replace('_', ' ')} {account[name]:.6g}" for name in _numbers(result))
    note = f"; {result.note}" if result.note else ""
    return f"{result.KIND} of {request.model}: {facts}{note} ({', '.join(map(str, written))})", account


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
