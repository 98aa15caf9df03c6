"""Condition numbers, gradients, cosines, rescalings and slices."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.cells import NOTHING, count_cell, number_cell
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.wording import NOT_RUN, percent, run_title


def _probed(results: Results, part: str) -> list[tuple[Cell, Cell, Mapping[str, Any] | None]]:
    """Return run, network and what was probed of every planned probe; None where it is not there."""
    plan = dict(results.planned.get("probe") or {})
    plan |= {name: name for name in results.probes if name not in plan}
    parts = {name: (results.probes.get(name) or {}).get(part) for name in plan}
    return [(Cell(name), Cell(run_title(run, results)), parts[name]) for name, run in plan.items()]


def condition_table(results: Results) -> Table:
    """Return condition numbers of slice and full Hessian, side by side."""
    keys = ("slice", "full_lower_bound", "lambda_max", "lambda_min", "residual_max", "residual_min", "krylov")
    rows = [
        (run, network, *([number_cell(found.get(key)) for key in keys] if found else _absent(len(keys))))
        for run, network, found in _probed(results, "condition")
    ]
    columns = (
        *("run", "network", "slice", "full Hessian, at least", "largest Ritz value", "smallest Ritz value"),
        *("its residual (largest)", "its residual (smallest)", "products"),
    )
    text = (
        "Condition numbers at the minimizer: of the slice along the two directions of the plane (per unit of "
        "length), and a rigorous lower bound of the full Hessian’s from the Krylov space of the given number of "
        "products."
    )
    return Table("condition-numbers", "Condition numbers", text, columns, tuple(rows))


def _absent(count: int) -> list[Cell]:
    return [Cell(NOT_RUN), *([NOTHING] * (count - 1))]


def gradient_table(results: Results) -> Table:
    """Return cosines between gradients of mini-batches at the minimizer and away from it."""
    rows = []
    for run, network, found in _probed(results, "gradients"):
        if not found:
            rows.append((run, network, *_absent(6)))
            continue
        points = [("centre", found["centre"])]
        points += [(f"({point['x']:g}, {point['y']:g})", point) for point in found["far"]]
        for place, point in points:
            numbers = [number_cell(point.get(key)) for key in ("loss", "mean_cosine", "std_cosine", "mean_norm")]
            batches = Cell(f"{found['batches']} of {found['batch_size']}")
            rows.append((run, network, Cell(place), *numbers, batches))
    columns = ("run", "network", "point", "loss", "mean cosine", "standard deviation", "mean norm", "mini-batches")
    text = (
        "Cosines between the gradients of different mini-batches, over all pairs, at the minimizer and at "
        "displaced points of the plane (in multiples of its directions). Near 0 the gradients share no direction."
    )
    return Table("gradient-correlations", "Correlation of mini-batch gradients", text, columns, tuple(rows))


def cosine_table(results: Results) -> Table:
    """Return the mean absolute cosine of random directions beside the expected one."""
    rows = []
    for run, network, found in _probed(results, "random_cosine"):
        if not found:
            rows.append((run, network, *_absent(9)))
            continue
        keys = ("mean", "standard_error", "expected")
        plain = number_cell(found["expected"] ** 2)
        normalized = ("filter_normalized_mean", "filter_normalized_standard_error", "effective_dimensions")
        last = (number_cell(found.get(key)) for key in normalized)
        counts = (count_cell(found["dimensions"]), count_cell(found["pairs"]))
        rows.append((run, network, *counts, *(number_cell(found.get(key)) for key in keys), plain, *last))
    columns = (
        *("run", "network", "dimensions n", "pairs", "mean |cos|", "standard error"),
        *("sqrt(2 / (pi n))", "2 / (pi n)", "filter-normalized mean |cos|"),
        *("its standard error", "its effective dimensions"),
    )
    text = (
        "Mean absolute cosine of pairs of Gaussian vectors with as many dimensions as the network has weights, "
        "beside the expected value, the same without the root (as one source prints it), and after filter "
        "normalization, where the cosine’s root mean square is that of as many effective dimensions."
    )
    return Table("random-cosines", "Random directions are nearly orthogonal", text, columns, tuple(rows))


def rescaling_table(results: Results) -> Table:
    """Return what rescaled weights change: the function, and lines with and without normalization."""
    keys = ("function_difference", "filter_difference", "none_difference")
    rows = []
    for name, item in results.invariances.items():
        for row in item.info.get(keys[0]) or {}:
            changes = [(item.info.get(key) or {}).get(row) for key in keys]
            if row != "as trained":
                rows.append((Cell(name), Cell(row), *(_percentage(change) for change in changes)))
    columns = ("run", "rescaling", "outputs", "filter-normalized line", "line without normalization")
    text = "Largest relative change after a rescaling that leaves the function as it is."
    return Table("rescalings", "Scale invariance", text, columns, tuple(rows))


def _percentage(value: float | None) -> Cell:
    if value is None:
        return Cell("unbounded")
    return Cell(percent(value) if value >= 1e-4 else f"{100 * value:.1e} %", 100 * value)


def slice_table(results: Results) -> Table:
    """Return how curvatures of slices compare with the full spectrum of a small network, before and after training."""
    rows = []
    for name, item in results.slices.items():
        size = item.info.get("parameters")
        for place, info in (("after training", item.info), ("at initialization", item.info.get("start"))):
            if info:
                rows.append((Cell(name), count_cell(size), Cell(place), *_slice_cells(info, size)))
    columns = (
        *("network", "parameters", "point", "training loss", "mean curvature of directions", "its standard error"),
        *("mean eigenvalue", "p value", "negative eigenvalues", "non-convex slices", "slices beyond the spectrum"),
        *("condition of slices, median", "condition of the full Hessian"),
    )
    text = (
        "Curvatures along random directions against averages of all eigenvalues with chi-square weights "
        "(two-sample Kolmogorov-Smirnov p value), and how often a slice shows what the full Hessian has. Negative, "
        "non-convex and beyond count by more than the rounding of n eigenvalues: n times the precision of float64 "
        "times the largest. Condition numbers of the full Hessian are lower bounds; where its smallest eigenvalue "
        "is zero to that rounding, the bound is the rounding’s."
    )
    return Table("slice-curvatures", "Random slices and the full spectrum", text, columns, tuple(rows))


def _slice_cells(info: Mapping[str, Any], size: int | None) -> list[Cell]:
    condition = info.get("condition") or {}
    mean, trace = info.get("mean_curvature") or (None, None)
    numbers = (info.get("train_loss"), mean, info.get("mean_curvature_error"), trace, info.get("weighted_p_value"))
    shares = [info.get(key) for key in ("negative_fraction", "slices_nonconvex", "slices_beyond_spectrum")]
    return [
        *(number_cell(number) for number in numbers),
        *(Cell(percent(share), None if share is None else 100 * share) for share in shares),
        number_cell(condition.get("slice_median")),
        _at_least(condition.get("full"), size),
    ]


def _at_least(condition: float | None, size: int | None) -> Cell:
    """Return a lower bound, and whether the matrix (size, size) is singular as far as float64 can tell.

    The bound is |lambda|_max / (|lambda|_min + r), r = size eps |lambda|_max: at least 1 / (2 size eps) where
    |lambda|_min is not above the rounding r.
    """
    known = number_cell(condition)
    if condition is None or known is NOTHING:
        return NOTHING
    singular = size is not None and condition * 2 * size * sys.float_info.epsilon >= 1
    return Cell(f"at least {known.text}{' (singular to rounding)' if singular else ''}", condition)
