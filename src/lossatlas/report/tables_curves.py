"""Curves between minimizers, beside those of the authors' program of Garipov et al."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import GARIPOV, curve_address
from lossatlas.report.cells import NOTHING, number_cell, percent_cell
from lossatlas.report.ensembles import CURVES, data_title, network_title, published_data, split_study
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Published, Targets
from lossatlas.report.wording import DAGGER_NOTE, NOT_RUN

COLUMNS = (
    *("data set", "network", "curve", "statistics", "error at the ends", "lowest error", "highest error"),
    *("published: at the ends", "published: lowest", "published: highest"),
    *("barrier", "highest training loss", "length", "distance of the ends"),
)
PUBLISHED = {"chain": "polychain", "bezier": "bezier"}  # our word for a curve: that of targets.yaml


def curve_table(results: Results, targets: Targets) -> Table:
    """Return errors, barriers and lengths of every planned curve, a row per way to set the statistics."""
    plan = dict.fromkeys([*(results.planned.get("curve") or {}), *results.curves])
    rows = [row for name in plan for row in _rows(name, results, targets)]
    text = (
        "Test errors in percent. “Lowest” and “highest” are along the curve, ends included. The barrier is how far the "
        "largest training loss along the curve lies above that of the worse end, in nats. Lengths are L2 distances in "
        "all parameters. Where the training loss overflows (is not finite) at points of the curve, the number of these "
        "points stands for the barrier. Statistics of batch normalization are refreshed at each point on clean "
        "training images, or interpolated between the ends. Published are the lowest and highest error along curves "
        "with “three bends” in the authors’ words, which we take to count both ends: one bend in ours. " + DAGGER_NOTE
    )
    return Table("curves", "Curves between minimizers", text, COLUMNS, tuple(rows))


def _rows(name: str, results: Results, targets: Targets) -> list[tuple[Cell, ...]]:
    found = results.curves.get(name)
    network, data, kind = split_study(name)
    run = str((results.planned.get("curve") or {}).get(name) or "")
    data = str(found.info["data"]) if found else data or results.title_of_data(run)
    title = network_title(network, found.info if found else None)
    first = (data_title(data, results), title, _kind(kind, found.info if found else None))
    published = _published(network, data, kind, targets)
    if found is None or found.info["status"] != "finished":
        reason = NOT_RUN if found is None else f"skipped: {found.info['reason']}"
        return [(*map(Cell, (*first, reason)), *[NOTHING] * 3, *published, *[NOTHING] * 4)]
    return [
        (*map(Cell, (*first, row)), *_errors(values), *published, *_lengths(values, found.info))
        for row, values in found.info["rows"].items()
    ]


def _kind(kind: str, info: Mapping[str, Any] | None) -> str:
    kind = str(info["kind"]) if info else kind
    bends = int(info["bends"]) if info else 0
    words = f", {bends} bend{'s' * (bends > 1)}" if bends else ""
    return CURVES.get(kind, kind) + words


def _errors(values: Mapping[str, Any]) -> list[Cell]:
    ends = [percent_cell(error).text for error in values["test_error_ends"]]
    return [Cell(", ".join(ends)), *(percent_cell(values[f"test_error_{which}"]) for which in ("min", "max"))]


def _lengths(values: Mapping[str, Any], info: Mapping[str, Any]) -> list[Cell]:
    distances = (info["length"], info["straight_distance"])
    return [*_rise(values), *(number_cell(distance, digits=4) for distance in distances)]


def _rise(values: Mapping[str, Any]) -> list[Cell]:
    """Return the barrier and the highest training loss; at overflow how many points it is that have none."""
    count = values.get("not_finite") or 0
    if count:
        return [Cell(f"overflows at {count:,} point{'s' * (count > 1)}"), NOTHING]
    return [number_cell(values["barrier_train_loss"]), number_cell(values["train_loss_max"])]


def _published(network: str, data: str, kind: str, targets: Targets) -> list[Cell]:
    """Return published errors at the ends, and the lowest and highest along a curve of the paper's kinds."""
    if network not in GARIPOV:
        return [NOTHING] * 3
    ends = [targets.find(curve_address(network, published_data(data), "endpoints", i)) for i in (0, 1)]
    along = [
        targets.find(curve_address(network, published_data(data), PUBLISHED[kind], i)) if kind in PUBLISHED else None
        for i in (0, 1)
    ]
    marks = next((end.mark for end in ends if end), "")
    both = ", ".join(f"{end.value:g}" for end in ends if end)
    return [Cell(both + marks) if both else NOTHING, *map(_number, along)]


def _number(found: Published | None) -> Cell:
    return NOTHING if found is None else Cell(f"{found.value:g}{found.mark}", found.value)
