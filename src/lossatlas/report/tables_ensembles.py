"""Errors of ensembles by training budget, beside Table 1 of Garipov et al., and how good their probabilities are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DATA, GARIPOV, PAPERS, ensemble_address
from lossatlas.report.cells import NOTHING, count_cell, mean_cell, number_cell, percent_cell, range_cell
from lossatlas.report.ensembles import (
    BUDGETS,
    METHODS,
    data_title,
    ensemble_name,
    lowest,
    method_title,
    named_ensembles,
    network_title,
    one_budget,
    pooled,
    published_data,
    split_ensemble,
    table_data,
    table_networks,
)
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Published, Targets
from lossatlas.report.wording import NOT_RUN, SKIPPED


def ensemble_table(results: Results, targets: Targets) -> Table:
    """Return Table 1 of Garipov et al., ours beside the published values; no rows where no ensemble is planned."""
    rows: list[tuple[Cell, ...]] = []
    for data in table_data(results):
        for network in table_networks(results):
            if network in GARIPOV or any(named[:2] == (network, data) for named in named_ensembles(results)):
                rows += _methods(network, data, results, targets)
    columns = [f"{k}B, {who}" for k in BUDGETS for who in ("ours", "published")]
    return Table(
        "garipov-table-1",
        f"{PAPERS['garipov2018']}, Table 1. Errors of ensembles by training budget",
        _caption(results, targets),
        ("data set", "network", "method", *columns),
        tuple(rows) if any(method in METHODS for _, _, method in named_ensembles(results)) else (),
    )


def _methods(network: str, data: str, results: Results, targets: Targets) -> Iterator[tuple[Cell, ...]]:
    """Yield a row per method; the lowest error of each column stands out, of ours and of the published ones."""
    found = {method: results.ensembles.get(ensemble_name(network, data, method)) for method in METHODS}
    columns: list[list[Cell]] = []
    for budgets in BUDGETS:
        columns.append(_best([_ours(info, budgets) for info in found.values()]))
        addresses = [ensemble_address(network, published_data(data), method, budgets) for method in METHODS]
        columns.append(_best([_published(targets.find(address)) for address in addresses]))
    for row, (method, info) in enumerate(found.items()):
        known = next((each for each in (info, *found.values()) if each), None)
        first = (data_title(data, results), network_title(network, known), METHODS[method])
        yield (*map(Cell, first), *(column[row] for column in columns))


def _best(cells: list[Cell]) -> list[Cell]:
    values = [cell.value if isinstance(cell.value, float) else None for cell in cells]
    return [Cell(cell.text, cell.value, strong) for cell, strong in zip(cells, lowest(values), strict=True)]


def _ours(info: Mapping[str, Any] | None, budgets: int) -> Cell:
    if info is None or info["status"] == "skipped":
        return Cell(NOT_RUN if info is None else SKIPPED)
    if budgets == 1:
        return mean_cell([100 * error for error in one_budget(info)])
    found = pooled(info, budgets)
    return percent_cell(found["error"]) if found else Cell(NOT_RUN)


def _published(found: Published | None) -> Cell:
    if found is None:
        return NOTHING
    # with as many digits as the paper gives
    text = f"{found.value:.2f}" if found.spread is None else f"{found.value:g} ± {found.spread:g}"
    return Cell(text + found.mark, found.value)


def _caption(results: Results, targets: Targets) -> str:
    protocol = targets.content["garipov2018"]["protocol"]
    shown = [info for name, info in results.ensembles.items() if split_ensemble(name)[2] in METHODS]
    counts = {len(one_budget(info)) for info in shown} - {0}
    seeds = " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else "all"
    text = (
        "Test errors in percent of independent networks (Ind), snapshot ensembles (SSE) and fast geometric ensembling "
        f"(FGE). 1B: one budget, mean and standard deviation over {seeds} of them (other seeds). 2B and 3B (k = 2 "
        f"and 3): {protocol['k_budgets']}. Bold is the lowest of the three methods, separately of ours and of the "
        "published errors."
    )
    others = [data_title(data, results) for data in table_data(results) if data not in DATA]
    if others:
        text += f" Beside {' and '.join(others)} stand the published errors on CIFAR-10."
    if results.regime != "full":
        text += (
            " Networks, data or schedules are smaller than the paper's (see the first columns, and the table of "
            "budgets): errors stand beside the published ones and are not compared with them."
        )
    return text


def score_table(results: Results) -> Table:
    """Return for every ensemble and number of budgets how good and how diverse its members' probabilities are."""
    rows: list[tuple[Cell, ...]] = []
    for network, data, method in named_ensembles(results):
        info = results.ensembles.get(ensemble_name(network, data, method))
        first = (data_title(data, results), network_title(network, info), method_title(method))
        scores = [(Cell(f"{row['budgets']}B"), *_scores(row, info or {})) for row in (info or {}).get("pooled") or []]
        state = NOT_RUN if info is None else SKIPPED
        rows += [(*map(Cell, first), *cells) for cells in scores or [(Cell(state), *[NOTHING] * 9)]]
    columns = (
        *("data set", "network", "method", "budgets", "members", "error", "negative log-likelihood"),
        *("calibration error", "disagreement", "divergence", "mean error of one member", "error of averaged weights"),
        "averaged members per budget",
    )
    text = (
        "On the test set, of the members’ mean probabilities. Errors, calibration error (expected, over bins of "
        "confidence) and disagreement (test images that two members classify differently, mean over all pairs) are in "
        "percent; the negative log-likelihood and the divergence (Jensen-Shannon, of all members) in nats per image. "
        "The last columns are of the one network with the mean of the weights of a budget’s members (stochastic weight "
        "averaging) and its statistics refreshed, mean over the budgets, and how many members’ weights that mean is of."
    )
    return Table("ensemble-scores", "Ensembles: probabilities and diversity", text, columns, tuple(rows))


def _scores(row: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[Cell]:
    budgets = row["budgets"]
    alone = [member["error"] for member in info["members"] if member["budget"] < budgets]
    means = info.get("averaged") or {}
    averaged = [error for error in (means.get("errors") or [])[:budgets] if error is not None]
    yield count_cell(row["members"])
    yield percent_cell(row["error"])
    yield number_cell(row["loss"])
    yield percent_cell(row["calibration"])
    yield percent_cell(row["disagreement"])
    yield number_cell(row["divergence"])
    yield percent_cell(fmean(alone) if alone and None not in alone else None)
    yield percent_cell(fmean(averaged) if averaged else None)
    yield range_cell((means.get("members") or [])[:budgets])
