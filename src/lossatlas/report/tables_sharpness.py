"""Sharpness numbers of each network, and how they go with test error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.cells import NOTHING, number_cell
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.wording import percent, run_title
from lossatlas.shape.measures import MEASURES

GROUPS = {"vgg9": "VGG-9", "resnet56": "ResNet-56", "all": "all"}


def sharpness_table(results: Results) -> Table:
    """Return the sharpness numbers of every run that has some."""
    rows = []
    spread = results.sharpness.get("spread") or {}
    for name, entry in (results.sharpness.get("runs") or {}).items():
        error = entry.get("test_error")
        first = (
            Cell(name),
            Cell(run_title(name, results)),
            Cell(percent(error), None if error is None else 100 * error),
        )
        rows.append((*first, *(_number(entry, spread.get(name) or {}, key) for key in MEASURES)))
    text = (
        "Curvature and radii are means over filter-normalized random directions (nats and multiples of a "
        "direction); the other numbers belong to the plane of two such directions" + _grid(results) + ". A width is "
        "the diameter of the disc of equal area; “above” is above the loss at the centre. “Beyond” is more than the "
        "range that was looked at, a dash a number that is not known; ± is the standard deviation over "
        "seeds, beside the number of the first."
    )
    columns = ("run", "network", "test error", *(measure.title for measure in MEASURES.values()))
    return Table("sharpness-numbers", "Sharpness numbers", text, columns, tuple(rows))


def _grid(results: Results) -> str:
    """Return on which points the planes were compared."""
    grid = results.sharpness.get("grid")
    return f", of which {grid[0]} x {grid[1]} points are used in every plane" if grid else ""


def _number(entry: Mapping[str, Any], spread: Mapping[str, Any], key: str) -> Cell:
    if key in entry.get("beyond", ()):
        return Cell("beyond")
    cell = number_cell(entry.get(key))
    over = spread.get(key)
    return cell if over is None or cell is NOTHING else Cell(f"{cell.text} ± {over:.2g}", cell.value)


def correlation_table(results: Results) -> Table:
    """Return the rank correlation of each sharpness number with test error, per group of runs."""
    groups = dict(results.sharpness.get("correlation_groups") or {})
    if results.sharpness.get("correlation"):
        groups.setdefault("all", results.sharpness["correlation"])
    rows = []
    for key, measure in MEASURES.items() if groups else ():
        found = [(groups.get(group) or {}).get(key) or {} for group in GROUPS]
        rows.append((Cell(measure.title), *(cell for item in found for cell in _correlation(item))))
    text = (
        "Spearman’s rank correlation with test error, number of runs and p value; repeats with other seeds are "
        "left out, and so are runs of which the number is not known. A dash: fewer than three runs, or the number is "
        "the same for all. A larger curvature is sharper, every other number flatter where it is larger."
    )
    pairs = [f"{title}, {what}" for title in GROUPS.values() for what in ("correlation", "runs", "p value")]
    title = "Rank correlation of sharpness with test error"
    return Table("sharpness-correlation", title, text, ("measure", *pairs), tuple(rows))


def _correlation(item: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    runs = item.get("runs")
    count = NOTHING if runs is None else Cell(str(runs), runs)
    return number_cell(item.get("spearman"), digits=2), count, number_cell(item.get("p_value"), digits=2)
