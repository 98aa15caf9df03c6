"""Table 1 and the errors of VGG-9: eight minimizers by optimizer, batch size and weight decay."""

from __future__ import annotations

from lossatlas.report.addresses import minimizer_address
from lossatlas.report.artefacts import Results
from lossatlas.report.cells import NOTHING, count_cell, final_cell, seeds_cell
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Published, Targets
from lossatlas.report.variants import OPTIMIZERS, VARIANTS
from lossatlas.report.wording import DAGGER_NOTE, NOT_RUN, is_papers_run, percent, published_percent

COLUMNS = (
    *("optimizer", "weight decay, ours", "weight decay, published"),
    *("batch", "batch size, ours", "of the training set", "batch size, published"),
    *("updates", "test error, ours", "over seeds", "test error, published"),
)
NOTE = (
    "Test errors in percent. Where the data set is smaller than the paper's, batches are the same share of it; updates "
    "are the optimizer steps of a run. “Over seeds” gives mean and standard deviation where runs were repeated, with "
    "their number."
)


def table1(results: Results, targets: Targets) -> Table:
    """Return Table 1 of Li et al.: ResNet-56, ours beside the published errors."""
    title = "Table 1. ResNet-56 by optimizer, batch size and weight decay"
    return _eight("table-1", title, "resnet56", results, targets)


def vgg9_table(results: Results, targets: Targets) -> Table:
    """Return the eight errors of VGG-9 that the paper's figures give."""
    title = "VGG-9 by optimizer, batch size and weight decay"
    return _eight("vgg9-errors", title, "vgg9", results, targets)


def _eight(identifier: str, title: str, network: str, results: Results, targets: Targets) -> Table:
    rows, marked = [], False
    for run, variant in VARIANTS.items():
        if variant.network == network:
            published = targets.get(minimizer_address(run))
            papers = is_papers_run(run, results)
            rows.append(_row(run, results, published if papers else None))
            marked = marked or (papers and not published.in_documents)
    caption = f"{NOTE} {DAGGER_NOTE}" if marked else NOTE
    return Table(identifier, title, caption, COLUMNS, tuple(rows))


def _row(run: str, results: Results, published: Published | None) -> tuple[Cell, ...]:
    variant, done = VARIANTS[run], results.runs.get(run)
    size, decay = (done.train.get(key) if done else None for key in ("batch_size", "weight_decay"))
    total = (results.data.get(str(done.info["data"])) or {}).get("train") if done else None
    share = size / total if size and total else None
    return (
        Cell(OPTIMIZERS[variant.optimizer]),
        Cell(NOT_RUN) if decay is None else Cell(f"{decay:g}", float(decay)),
        Cell(f"{variant.weight_decay:g}", variant.weight_decay),
        Cell("large" if variant.large else "small"),
        count_cell(size) if done else Cell(NOT_RUN),
        Cell(percent(share), None if share is None else 100 * share),
        count_cell(variant.batch_size) if published else NOTHING,
        count_cell(done.info.get("steps") if done else None),
        final_cell(done, "test_error"),
        seeds_cell(run, results),
        Cell(published_percent(published), published.value if published else None),
    )
