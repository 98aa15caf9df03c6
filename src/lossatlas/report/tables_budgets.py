"""Who trains how many epochs: budgets, members and learning rates of every ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import TITLES
from lossatlas.report.cells import NOTHING, count_cell, number_cell, range_cell
from lossatlas.report.ensembles import data_title, ensemble_name, method_title, named_ensembles, network_title
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Targets
from lossatlas.report.wording import NOT_RUN

COLUMNS = (
    *("data set", "network", "method", "budgets", "epochs per budget", "of them shared with Ind"),
    *("members per budget", "cycles per budget", "epochs per cycle", "alpha_0", "alpha_1", "alpha_2", "status"),
)


def budget_table(results: Results, targets: Targets) -> Table:
    """Return for every ensemble what one budget trains, what it shares, and its schedule's settings."""
    rows = []
    for network, data, method in named_ensembles(results):
        info = results.ensembles.get(ensemble_name(network, data, method))
        first = (data_title(data, results), network_title(network, info), method_title(method))
        cells = list(_account(info)) if info else [*[NOTHING] * 9, Cell(NOT_RUN)]
        rows.append((*map(Cell, first), *cells))
    return Table("budgets", "Ensembles: who trains how many epochs", _caption(targets), COLUMNS, tuple(rows))


def _account(info: Mapping[str, Any]) -> Iterator[Cell]:
    budgets, schedule, train = info["budgets"], info.get("schedule") or {}, info.get("train") or {}
    cycles, length = _cycles(info)  # 7.5 of the triangles: members are taken in the middle
    triangle = schedule.get("name") == "fge_triangle"
    yield count_cell(len(budgets))
    for key in ("epochs", "shared_epochs", "members"):
        yield range_cell([budget[key] for budget in budgets])
    yield number_cell(cycles)
    yield count_cell(length)
    yield number_cell(train.get("lr") if triangle else schedule.get("lr"))
    yield number_cell(schedule.get("lr") if triangle else None)
    yield number_cell(schedule.get("low") if triangle else None)
    yield Cell(f"{info['status']}: {info['reason']}" if info["reason"] else str(info["status"]))


def _cycles(info: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """Return the number of cycles in one budget and the epochs of each, None where the rate has no cycles."""
    schedule = info.get("schedule") or {}
    if schedule.get("name") == "fge_triangle":
        return schedule["epochs"] / schedule["cycle_epochs"], schedule["cycle_epochs"]
    if schedule.get("cycles") is None:
        return None, None
    length = schedule["epochs"] // schedule["cycles"]
    # of several runs in one budget each has its own
    return info["budget_epochs"] / length, length


def _caption(targets: Targets) -> str:
    paper, snapshots = (targets.content[key]["protocol"] for key in ("garipov2018", "huang2017"))
    sse = paper["sse"]
    epochs = ", ".join(f"{TITLES[network]} {count}" for network, count in paper["budget_epochs"].items())
    return (
        f"Ind: learning rate {paper['schedule']}, lr being alpha_0. SSE: {snapshots['schedule']}, with T iterations in "
        f"a budget and M cycles, a member at the end of each; {sse['cycles_per_budget']} cycles per budget and alpha_0 "
        f"= {sse['alpha_0']} are our choice, since Table 1 of Garipov et al. does not give them. FGE: starts from the "
        f"weights of Ind, in the paper at {paper['fge_start']}, so that Ind’s epochs until there are shared: trained "
        "once, counted in the budgets of both; then the rate falls linearly from alpha_1 to alpha_2 and rises back in "
        "each cycle, with a member at the lowest rate. Momentum starts at zero there, since checkpoints hold weights "
        "only; the authors’ program goes on with the momentum that it stored. All else, dropout, augmentation and "
        f"weight decay among it, stays as in Ind. k budgets are {paper['k_budgets']}: our reading of the paper, "
        f"the same for all three methods. The paper’s own budgets: {epochs} epochs."
    )
