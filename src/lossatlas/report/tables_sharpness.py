"""Sharpness numbers of each network, and how they go with test error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.cells import NOTHING, number_cell
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.wording import percent, run_title

MEASURES = {
    "curvature": "curvature at the centre",
    "doubling_radius": "radius, loss doubles",
    "level_radius": "radius, loss 0.1 higher",
    "convex_share": "convex share",
    "nonconvex_level": "lowest non-convex loss",
    "level_width": "width, 0.1 level",
    "rise_width": "width, 0.1 above the centre",
    "level_area": "area, 0.1 level",
}
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
        "direction); convex share, widths, areas and the lowest loss without convexity belong to the plane of two "
        "such directions. A width is the diameter of the disc of equal area. “Beyond” is more than the range that "
        "was looked at; ± is the standard deviation over seeds."
    )
    columns = ("run", "network", "test error", *MEASURES.values())
    return Table("sharpness-numbers", "Sharpness numbers", text, columns, tuple(rows))


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
    for key, title in MEASURES.items():
        found = [(groups.get(group) or {}).get(key) or {} for group in GROUPS]
        if any(item.get("spearman") is not None for item in found):
            rows.append((Cell(title), *(cell for item in found for cell in _correlation(item))))
    text = (
        "Spearman’s rank correlation with test error, number of runs and p value; repeats with other seeds are "
        "left out. A larger curvature is sharper, a larger radius, width, area, share or level flatter."
    )
    pairs = [f"{title}, {what}" for title in GROUPS.values() for what in ("correlation", "runs", "p value")]
    title = "Rank correlation of sharpness with test error"
    return Table("sharpness-correlation", title, text, ("measure", *pairs), tuple(rows))


def _correlation(item: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    runs = item.get("runs")
    count = NOTHING if runs is None else Cell(str(runs), runs)
    return number_cell(item.get("spearman"), digits=2), count, number_cell(item.get("p_value"), digits=2)
