"""Stage `hessian`: both ends of the Hessian's spectrum about a run's final weights, on the plane of the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossatlas.files import read_json, write_json
from lossatlas.landscape.hessian import hessian_map
from lossatlas.results import HessianMap
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, axis, engine_settings, load_subject, random_axes

_ARRAYS = ("lambda_max", "lambda_min", "residual_max", "residual_min")


def _skipped(job: Job, subject: Subject) -> HessianMap:
    x, y = axis(job.settings["x"]), axis(job.settings["y"])
    shape = (len(x), len(y))
    empty: dict[str, Any] = {name: np.full(shape, np.nan) for name in _ARRAYS}
    none = np.zeros(shape, dtype=bool)
    note = f"the run diverged ({subject.run['note']})"
    return HessianMap(
        x=x, y=y, **empty, products=np.zeros(shape, dtype=np.int64), converged=none, computed=none.copy(), note=note
    )


def _mapped(job: Job, subject: Subject) -> HessianMap:
    settings = job.settings
    return hessian_map(
        subject.model,
        subject.train,
        directions=random_axes(job, subject),
        x=axis(settings["x"]),
        y=axis(settings["y"]),
        tolerance=settings["tolerance"],
        max_products=settings["max_products"],
        weights=settings["weights"],
        seed=settings["seed"],
        journal=job.work / "points.jsonl",
        **engine_settings(job),
    )


def _numbers(job: Job, found: HessianMap) -> dict[str, Any]:
    """Return the map's summary; the ratios are of all points whose two ends are finite and not both zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(found.lambda_min / found.lambda_max)
    known = ratio[np.isfinite(ratio)]
    return {
        "ratio_median": float(np.median(known)) if len(known) else None,
        "ratio_max": float(known.max()) if len(known) else None,
        "below_one_percent": float((known < 0.01).mean()) if len(known) else None,
        "finite": len(known),
        "converged": int(found.converged.sum()),
        "points": int(found.converged.size),
        "products": int(found.products.sum()),
        "tolerance": job.settings["tolerance"],
        "weights": job.settings["weights"],
    }


def compute(job: Job) -> None:
    """Write `hessian.h5` and `hessian.json`."""
    subject = load_subject(job)
    found = _skipped(job, subject) if subject.diverged else _mapped(job, subject)
    found.save(job.out / "hessian.h5")
    account(job, subject, name="hessian", note=found.note, skipped=subject.diverged)
    about = job.out / "hessian.json"
    write_json(about, {**read_json(about), **_numbers(job, found)})
