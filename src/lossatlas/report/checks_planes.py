"""Checks of loss surfaces: every point computed, the centre is the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.verdict import Check, judged, not_run
from lossatlas.results import CurveLosses, Plane, SampledPlane

# The centre is the same weights on the same images as the value it is compared with, in float32: sums in another order
# and another batch size move a loss by some 1e-6 of the logits, which are of order 10.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
# what rounding in forward passes may do to a mean loss: 10, 11 and 8 bits of mantissa
ROUNDING = {"tf32": 3e-3, "float16": 3e-3, "bfloat16": 2e-2}
TOLERANCE = f"{RELATIVE:g} relative or {ABSOLUTE:g}"
# an estimate lies farther off in one of some 16,000 planes
ERRORS = 4


def check_planes(results: Results) -> Iterator[Check]:
    """Yield for every planned plane whether it is complete and centred at the checkpoint's loss."""
    for name in results.planned_planes:
        surface = results.planes.get(name)
        whole, centre, full = f"complete/{name}", f"centre/{name}", f"checkpoint/{name}"
        titles = (f"{name}: points computed", f"{name}: loss at the centre", f"{name}: training loss of the checkpoint")
        if surface is None:
            yield judged(whole, titles[0], False, measured="no result", expected="computed", detail="planned, not run")
        elif surface.plane is None:
            yield not_run(whole, titles[0], f"skipped: {surface.info.get('reason') or 'no reason given'}")
        else:
            yield check_complete(whole, titles[0], surface.plane)
            yield _centre(centre, titles[1], surface)
            yield _checkpoint(full, titles[2], surface, results)


def check_complete(identifier: str, title: str, found: Plane | CurveLosses) -> Check:
    """Return whether every point is computed; losses that overflow are values too."""
    done, total = int(found.computed.sum()), found.computed.size
    infinite = int((found.computed & ~np.isfinite(found.train_loss)).sum())
    detail = f"{infinite} of them without a finite loss" if infinite else ""
    return judged(identifier, title, done == total, measured=done, expected=total, detail=found.note or detail)


def _origin(plane: Plane) -> tuple[int, int] | None:
    """Return the indices of the origin, None where the grid has no point there."""
    i, j = int(np.abs(plane.x).argmin()), int(np.abs(plane.y).argmin())
    return (i, j) if abs(plane.x[i]) < 1e-9 and abs(plane.y[j]) < 1e-9 else None


def centre_loss(plane: Plane) -> float | None:
    """Return the training loss at the origin, None where the grid has no point there."""
    origin = _origin(plane)
    return None if origin is None else float(plane.train_loss[origin])


def _centre(identifier: str, title: str, surface: Surface) -> Check:
    stored = surface.info.get("center_train_loss")
    return _equal(identifier, title, surface, stored, "no evaluation of the checkpoint is recorded")


def _checkpoint(identifier: str, title: str, surface: Surface, results: Results) -> Check:
    run = results.runs.get(str(surface.info["run"]))
    data = results.data.get(str(run.info["data"])) if run else None
    if run is None or data is None:
        return not_run(identifier, title, "the run or its data set is not among the inputs")
    used, total = surface.info.get("samples_train"), data["train"]
    if used != total:
        return not_run(identifier, title, f"the plane uses {used} of the {total} training images")
    return _equal(identifier, title, surface, run.final("train_loss"), "the run has no final training loss")


def _equal(identifier: str, title: str, surface: Surface, expected: float | None, missing: str) -> Check:
    plane = surface.plane
    assert plane is not None  # skipped planes do not come here
    origin = _origin(plane)
    if origin is None:
        return not_run(identifier, title, "the grid has no point at the origin")
    if expected is None:
        return not_run(identifier, title, missing)
    measured, tolerance, allowed = float(plane.train_loss[origin]), TOLERANCE, ABSOLUTE
    if isinstance(plane, SampledPlane) and plane.train_loss_se[origin] > 0:
        allowed = max(ABSOLUTE, ERRORS * float(plane.train_loss_se[origin]))
        tolerance = f"{ERRORS} standard errors of the estimate, {allowed:.2g}"
    precision = str(plane.provenance.get("precision", "float32"))
    relative = ROUNDING.get(precision, RELATIVE)
    if precision in ROUNDING:
        tolerance = f"{relative:.2g} relative, evaluated in {precision}"
    holds = math.isclose(measured, expected, rel_tol=relative, abs_tol=allowed)
    return judged(identifier, title, holds, measured=measured, expected=expected, tolerance=tolerance)
