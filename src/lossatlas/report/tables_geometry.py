"""Condition numbers, gradients, cosines, rescalings and slices."""

from __future__ import annotations

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
            rows.append((run, network, *_absent(7)))
            continue
        keys = ("mean", "standard_error", "expected")
        plain = number_cell(found["expected"] ** 2)
        last = number_cell(found.get("filter_normalized_mean"))
        counts = (count_cell(found["dimensions"]), count_cell(found["pairs"]))
        rows.append((run, network, *counts, *(number_cell(found.get(key)) for key in keys), plain, last))
    columns = (
        *("run", "network", "dimensions n", "pairs", "mean |cos|", "standard error"),
        *("sqrt(2 / (pi n))", "2 / (pi n)", "filter-normalized"),
    )
    text = (
        "Mean absolute cosine of pairs of Gaussian vectors with as many dimensions as the network has weights, "
        "beside the expected value, the same without the root (as one source prints it), and after filter "
        "normalization."
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
    """Return how curvatures of slices compare with the full spectrum of a small network."""
    rows = []
    for name, item in results.slices.items():
        info, condition = item.info, item.info.get("condition") or {}
        means = info.get("mean_curvature") or [None, None]
        shares = [info.get(key) for key in ("negative_fraction", "slices_nonconvex")]
        cells = [number_cell(value) for value in (*means, info.get("weighted_p_value"))]
        cells += [Cell(percent(share), None if share is None else 100 * share) for share in shares]
        cells += [number_cell(condition.get(key)) for key in ("slice_median", "full")]
        rows.append((Cell(name), count_cell(info.get("parameters")), *cells))
    columns = (
        *("network", "parameters", "mean curvature of directions", "mean eigenvalue", "p value"),
        *("negative eigenvalues", "non-convex slices", "condition of slices, median", "condition, full"),
    )
    text = (
        "Curvatures along random directions against averages of all eigenvalues with chi-square weights "
        "(two-sample Kolmogorov-Smirnov p value), and how often a slice shows what the full Hessian has."
    )
    return Table("slice-curvatures", "Random slices and the full spectrum", text, columns, tuple(rows))
