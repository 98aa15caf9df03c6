"""Cells of tables: numbers as they are read, with the value behind them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from lossatlas.report.artefacts import Results, Run
from lossatlas.report.tabular import Cell
from lossatlas.report.wording import DIVERGED, NOT_RUN, nats, percent

NOTHING = Cell("–")


def final_cell(run: Run | None, quantity: str) -> Cell:
    """Return a final loss (nats) or error (percent) of a run, or that it diverged or was not run."""
    if run is None or run.diverged:
        return Cell(NOT_RUN if run is None else DIVERGED)
    value = run.final(quantity)
    if quantity.endswith("loss"):
        return Cell(nats(value), value)
    return Cell(percent(value), None if value is None else 100 * value)


def count_cell(value: int | None) -> Cell:
    """Return a count with separators."""
    return Cell("–" if value is None else f"{value:,}", value)


def range_cell(values: Sequence[int]) -> Cell:
    """Return the count that several have, or the range of their counts; a dash where there are none."""
    if not values:
        return NOTHING
    if min(values) == max(values):
        return count_cell(values[0])
    return Cell(f"{min(values):,} to {max(values):,}")


def number_cell(value: Any, *, digits: int = 3) -> Cell:
    """Return a number with significant digits; a dash where there is none or it is not finite."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return Cell(f"{value:.{digits}g}", float(value))


def percent_cell(fraction: float | None) -> Cell:
    """Return a fraction in percent without the sign; a dash where it is not known."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    return Cell(f"{100 * fraction:.2f}", 100 * fraction)


def mean_cell(values: Sequence[float]) -> Cell:
    """Return the mean of a number over repeats with its standard deviation where there are several."""
    if not values:
        return NOTHING
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return Cell(f"{fmean(values):.2f}{spread}", fmean(values))


def seeds_cell(run: str, results: Results) -> Cell:
    """Return mean and standard deviation of the test error over a run and its `_seedN` repeats, percent."""
    names = [name for name in results.runs if name == run or re.fullmatch(re.escape(run) + r"_seed\d+", name)]
    errors = [100 * value for name in names if (value := results.runs[name].final("test_error")) is not None]
    if len(errors) < 2:
        return NOTHING
    return Cell(f"{fmean(errors):.2f} ± {stdev(errors):.2f} % ({len(errors)})", fmean(errors))
