"""Snapshot ensembles and what Huang et al. compare them with, beside their Table 1."""

from __future__ import annotations

from dataclasses import replace

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DATA, HUANG, PAPERS, snapshot_address
from lossatlas.report.cells import percent_cell
from lossatlas.report.ensembles import SNAPSHOTS, ensemble_name, method_title, named_ensembles, pooled
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Targets
from lossatlas.report.wording import DAGGER_NOTE, NOT_RUN, SKIPPED


def snapshot_table(results: Results, targets: Targets) -> Table:
    """Return Table 1 of Huang et al., ours beside the published values; no rows where none of it is planned."""
    planned = any(network in HUANG and method in SNAPSHOTS for network, _, method in named_ensembles(results))
    rows = [
        (Cell(title), Cell(method_title(method)), *_cells(network, method, results, targets))
        for network, title in HUANG.items()
        for method in SNAPSHOTS
        if planned
    ]
    columns = [f"{title}, {who}" for title in DATA.values() for who in ("ours", "published")]
    protocol = targets.content["huang2017"]["table1_error"]["protocol"]
    text = (
        f"Test errors in percent. The paper: {protocol}. The single model is the last snapshot of the NoCycle run, "
        f"SingleCycle networks start anew in each cycle with alpha_0 = 0.1 (our choice). {DAGGER_NOTE}"
    )
    title = f"{PAPERS['huang2017']}, Table 1. Errors of snapshot ensembles"
    return Table("huang-table-1", title, text, ("network", "method", *columns), tuple(rows))


def _cells(network: str, method: str, results: Results, targets: Targets) -> list[Cell]:
    cells = []
    for data in DATA:
        info = results.ensembles.get(ensemble_name(network, data, method))
        found = pooled(info, 1)
        missing = Cell(SKIPPED if info and info["status"] == "skipped" else NOT_RUN)
        # these numbers stand in no source document, as the remark beside them in targets.yaml says
        published = targets.get(snapshot_address(network, data, SNAPSHOTS[method][0]))
        published = replace(published, in_documents=False)
        cells += [percent_cell(found["error"]) if found else missing]
        cells += [Cell(f"{published.value:.2f}{published.mark}", published.value)]
    return cells
