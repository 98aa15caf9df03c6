"""Losses at initialization and the trainability of the deepest networks."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DEPTH158
from lossatlas.report.cells import NOTHING, count_cell, final_cell, number_cell
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Targets
from lossatlas.report.wording import NOT_RUN, nats, run_title

SCHEMES = {"li": "Li", "glorot": "Glorot", "torch": "default", "garipov": "Garipov"}
MODES = {"train_mode": "initial loss", "eval_mode": "with running statistics"}


def _planned(results: Results, kind: str, found: Mapping[str, Any]) -> dict[str, str]:
    """Return the run of each planned study of a kind, by the study's name."""
    plan = dict(results.planned.get(kind) or {})
    return plan | {name: name for name in found if name not in plan}


def initialization_table(results: Results, targets: Targets) -> Table:
    """Return losses at initialization beside the level of the surfaces and that of lost convexity."""
    level = targets.claim_number("init_below_2_5")
    sharp = results.sharpness.get("runs") or {}
    schemes = [s for s in SCHEMES if any(s in (p.get("initialization") or {}) for p in results.probes.values())]
    rows = []
    for name, run in _planned(results, "probe", results.probes).items():
        probe = results.probes.get(name)
        losses = (probe or {}).get("initialization") or {}
        cells = [_losses((losses.get(scheme) or {}).get(mode), probe is None) for mode in MODES for scheme in schemes]
        entry = sharp.get(run) or {}
        beyond = "nonconvex_level" in entry.get("beyond", ())
        lost = Cell("beyond") if beyond else number_cell(entry.get("nonconvex_level"))
        rows.append((Cell(run), Cell(run_title(run, results)), *cells, Cell(f"{level:g}", level), lost))
    initial = (f"{words}, {SCHEMES[scheme]}" for words in MODES.values() for scheme in schemes)
    columns = ("run", "network", *initial)
    text = (
        "Mean loss at initialization (nats) with the statistics of each batch, as in the first step of training, and "
        "with fresh running statistics (mean 0, variance 1), with the standard deviation over seeds; the "
        "level that the paper names; and the lowest loss at which the surface about the trained network is not "
        "convex (“beyond”: it is convex all over the plane)."
    )
    columns = (*columns, "level of the paper", "lowest non-convex loss")
    return Table("initialization", "Initialization", text, columns, tuple(rows))


def _losses(values: list[float | None] | None, absent: bool) -> Cell:
    known = [value for value in values or [] if value is not None]
    if not values or len(known) < len(values):
        return Cell(NOT_RUN) if absent else Cell("not finite") if values else NOTHING
    spread = f" ± {stdev(known):.2g}" if len(known) > 1 else ""
    return Cell(f"{nats(fmean(known))}{spread}", fmean(known))


def trainability_table(results: Results) -> Table:
    """Return what became of the deepest network at each learning rate, with shortcuts and without."""
    rows = []
    for name in (name for name in DEPTH158 if name in results.planned_runs or name in results.runs):
        run = results.runs.get(name)
        initial = float(run.history.train_loss[0]) if run and len(run.history.train_loss) else None
        rows.append(
            (
                Cell(run_title(name, results)),
                number_cell(run.train.get("lr") if run else None),
                count_cell(run.train.get("epochs") if run else None),
                count_cell(run.info.get("steps") if run else None),
                Cell(nats(initial), initial),
                *(final_cell(run, quantity) for quantity in ("train_loss", "train_error", "test_error")),
                Cell(str(run.info.get("note") or run.info["status"]) if run else NOT_RUN),
            )
        )
    columns = (
        *("network", "learning rate", "epochs", "updates", "initial loss"),
        *("training loss", "training error", "test error", "status"),
    )
    text = (
        "The deepest network (26 blocks of two convolutions in each of three groups) without shortcuts, at "
        "learning rates that fall by tens, and with shortcuts as control. A network that does not train is a "
        "result here."
    )
    return Table("deepest-networks", "Trainability of the deepest networks", text, columns, tuple(rows))
