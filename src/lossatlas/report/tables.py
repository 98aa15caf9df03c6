"""Tables of the report: ours beside the published values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Results, Run
from lossatlas.report.cells import count_cell, final_cell
from lossatlas.report.made import Key, noting, ordered
from lossatlas.report.tables_budgets import budget_table
from lossatlas.report.tables_curves import curve_table
from lossatlas.report.tables_ensembles import ensemble_table, score_table
from lossatlas.report.tables_geometry import (
    condition_table,
    cosine_table,
    gradient_table,
    rescaling_table,
    slice_table,
)
from lossatlas.report.tables_minimizers import table1, vgg9_table
from lossatlas.report.tables_sharpness import correlation_table, sharpness_table
from lossatlas.report.tables_snapshots import snapshot_table
from lossatlas.report.tables_training import initialization_table, trainability_table
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Published, Targets
from lossatlas.report.wording import (
    DAGGER_NOTE,
    NOT_RUN,
    is_papers_run,
    nats,
    outcome,
    published_address,
    published_error,
    published_percent,
    run_title,
)

_ALWAYS = ("table-1", "table-2", "vgg9-errors", "test-errors", "all-runs")


def draw_tables(results: Results, targets: Targets) -> Iterator[tuple[Table, tuple[Key, ...]]]:
    """Yield every table of the report, in order, with kind and name of each stage whose results it read.

    Tables of studies that a preset does not plan are left out.
    """
    watched, seen = noting(results)
    beside: list[Callable[[Results, Targets], Table]] = [table1, table2, vgg9_table, ensemble_table, budget_table]
    later: list[Callable[[Results, Targets], Table]] = [error_table, runs_table]
    alone: list[Callable[[Results], Table]] = [trainability_table, condition_table, gradient_table, cosine_table]
    alone += [rescaling_table, slice_table]
    makers: list[Callable[[], Table]] = [partial(make, watched, targets) for make in beside]
    makers += [partial(score_table, watched), partial(curve_table, watched, targets)]
    makers += [partial(snapshot_table, watched, targets), partial(sharpness_table, watched)]
    makers += [partial(correlation_table, watched), partial(initialization_table, watched, targets)]
    makers += [partial(make, watched) for make in alone]
    makers += [partial(make, watched, targets) for make in later]
    for make in makers:
        seen.clear()
        table = make()
        if table.rows or table.id in _ALWAYS:
            yield table, tuple(ordered(seen))


def all_tables(results: Results, targets: Targets) -> list[Table]:
    """Return the tables alone."""
    return [table for table, _ in draw_tables(results, targets)]


def table2(results: Results, targets: Targets) -> Table:
    """Return Table 2 of Li et al., ours beside the published values."""
    rows = []
    for name in catalogue.TABLE2:
        run = results.runs.get(name)
        rate = run.train.get("lr") if run else None
        papers, papers_rate = is_papers_run(name, results), catalogue.TABLE2[name][1]
        cells = [Cell(run_title(name, results)), Cell(f"{rate:g}" if rate is not None else NOT_RUN, rate)]
        cells.append(Cell(f"{papers_rate:g}", papers_rate) if papers else Cell("–"))
        for quantity in ("train_loss", "train_error", "test_error"):
            published = targets.get(catalogue.table2_address(name, quantity))
            text = f"{published.value:.3f}" if quantity == "train_loss" else published_percent(published)
            cells += [final_cell(run, quantity), Cell(text, published.value) if papers else Cell("–")]
        rows.append(tuple(cells))
    measured = ("training loss", "training error", "test error")
    pairs = [f"{name}, {who}" for name in measured for who in ("ours", "published")]
    columns = ("network", "initial rate, ours", "initial rate, published", *pairs)
    text = "Table 2 of Li et al. 2018: final losses (nats per example) and errors (percent)."
    return Table("table-2", "Table 2. Final losses and errors of the architectures", text, columns, tuple(rows))


def error_table(results: Results, targets: Targets) -> Table:
    """Return the test error of every network that a paper gives one for."""
    rows, marked = [], False
    for name in dict.fromkeys([*catalogue.TITLES, *results.planned_runs]):
        published, run = published_error(name, results, targets), results.runs.get(name)
        if published is not None:
            first = (
                Cell(run_title(name, results)),
                Cell(results.title_of_data(name) or "–"),
                final_cell(run, "test_error"),
            )
            rows.append(
                (*first, Cell(published_percent(published), published.value), _source(name, results, published))
            )
            marked = marked or not published.in_documents
    text = f"Test errors in percent. {DAGGER_NOTE}" if marked else "Test errors in percent."
    columns = ("network", "our data", "ours", "published", "source")
    return Table("test-errors", "Test errors beside the published ones", text, columns, tuple(rows))


def _source(name: str, results: Results, published: Published) -> Cell:
    address = published_address(name, results)
    return Cell((catalogue.source_of(address) if address else "") + published.mark)


def runs_table(results: Results, targets: Targets) -> Table:
    """Return every planned run with its settings, size, result and the hash of the stage that made it."""
    rows = []
    for name, plan in results.planned_runs.items():
        run = results.runs.get(name)
        first = (Cell(name), Cell(str(plan["data"])), Cell(_network(str(plan["title"]), run)))
        rows.append((*first, *(_run_cells(run) if run else [Cell("–")] * 7 + [Cell(NOT_RUN), Cell("–")])))
    columns = (
        *("run", "data", "network", "parameters", "epochs", "updates", "batch"),
        *("initial loss", "final loss", "test error", "status", "stage"),
    )
    text = (
        "Losses are clean training losses in nats per example; the stage column is the start of the hash that names a "
        f"run. On the initial loss the paper says: {targets.claim('init_below_2_5')}."
    )
    return Table("all-runs", "All runs", text, columns, tuple(rows))


def _network(title: str, run: Run | None) -> str:
    if run is None:
        return title
    options = [f"{key} {value}" for key, value in sorted((run.info.get("options") or {}).items())]
    return f"{title} ({', '.join([str(run.info['family']), *options])})"


def _run_cells(run: Run) -> list[Cell]:
    initial = float(run.history.train_loss[0]) if len(run.history.train_loss) else None
    return [
        count_cell(run.info["parameters"]),
        count_cell(run.train.get("epochs")),
        count_cell(run.info.get("steps")),
        count_cell(run.train.get("batch_size")),
        Cell(nats(initial), initial),
        final_cell(run, "train_loss"),
        Cell(outcome(run), None if run.diverged else 100 * (run.final("test_error") or 0.0)),
        Cell(f"{run.info['status']}: {run.info['note']}" if run.info.get("note") else str(run.info["status"])),
        Cell(run.stage_hash[:8]),
    ]
