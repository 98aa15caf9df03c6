"""Checks of trained networks: they finished, have the published size, and reach the expected errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lossatlas.report.artefacts import Results, Run
from lossatlas.report.catalogue import TABLE2, source_of, table2_address
from lossatlas.report.networks import at_paper_width, count_key, network_built, network_named
from lossatlas.report.targets import Address, Published, Targets
from lossatlas.report.verdict import Check, judged, not_run
from lossatlas.report.wording import is_papers_run, published_address, run_title

ERROR_POINTS = 0.5  # absolute points of error for a single run or an ensemble under the full protocol
SPREADS = 3  # published spreads, where a paper repeated its runs
LOSS_FACTOR = 2.0
ROUNDING = 1e-9  # of the difference itself: a bound that is met exactly holds
COMMITTED = "committed values of this preset"
PAPER_CLASSES, PAPER_INPUT = 10, 32  # what the list of parameter counts assumes where it says nothing else


def check_finished(results: Results) -> Iterator[Check]:
    """Yield for every planned run whether it finished; a diverged one fails only under the full protocol."""
    wanted = "finished" if results.regime == "full" else "finished or diverged"
    for name in results.planned_runs:
        identifier, title = f"finished/{name}", f"{run_title(name, results)}: training"
        run = results.runs.get(name)
        if run is None:
            yield judged(identifier, title, False, measured="no result", expected=wanted, detail="planned, not run")
            continue
        status, note = str(run.info["status"]), str(run.info.get("note") or "")
        yield judged(identifier, title, status in wanted.split(" or "), measured=status, expected=wanted, detail=note)


def check_parameters(results: Results, targets: Targets) -> Iterator[Check]:
    """Yield for every run whose network the papers size exactly whether the number of parameters is that one."""
    for name, run in results.runs.items():
        options: Mapping[str, Any] = run.info.get("options") or {}
        classes = int(run.info["num_classes"])
        built = network_built(run.info)
        network = built or network_named(name)
        if network is None:
            continue
        count = targets.parameter_count(*count_key(network, classes=classes))
        papers = built is not None and at_paper_width(str(run.info["family"]), options)
        identifier, title = f"parameters/{name}", f"{run_title(name, results)}: trainable parameters"
        if count is not None and papers and run.info["input_size"] == PAPER_INPUT:
            measured = int(run.info["parameters"])
            yield judged(identifier, title, measured == count, measured=measured, expected=count)
        elif targets.parameter_count(*count_key(network, classes=PAPER_CLASSES)) is not None:
            size = f"{run.info['input_size']} pixels, {classes} classes"
            words = ", ".join([size, *(f"{key} {value}" for key, value in sorted(options.items()))])
            yield not_run(identifier, title, f"not in its published form: {words}")


def check_published(results: Results, targets: Targets) -> Iterator[Check]:
    """Yield comparisons with published numbers; only the papers' networks under the full protocol are comparable."""
    if results.regime != "full":
        return
    for name in results.planned_runs:
        run = results.runs.get(name)
        classes = int(run.info["num_classes"]) if run else PAPER_CLASSES
        address = published_address(name, results)
        if address is not None and targets.find(address) is not None:
            yield _compare(name, run, "test_error", address, results, targets)
        if name in TABLE2 and classes == PAPER_CLASSES and is_papers_run(name, results):
            for quantity in ("train_error", "train_loss"):
                yield _compare(name, run, quantity, table2_address(name, quantity), results, targets)


def _compare(name: str, run: Run | None, quantity: str, address: Address, results: Results, targets: Targets) -> Check:
    published = targets.get(address)
    unit = "nats" if quantity == "train_loss" else "%"
    title = f"{run_title(name, results)}: {quantity.replace('_', ' ')}, {unit}"
    identifier, source = f"published/{name}/{quantity}", source_of(address) + published.mark
    measured = run.final(quantity) if run else None
    if measured is None:
        return not_run(identifier, title, "no final value: the run is missing or diverged")
    if quantity != "train_loss":
        return compare_errors(identifier, title, 100 * measured, published, source)
    return judged(
        identifier,
        title,
        published.value / LOSS_FACTOR <= measured <= published.value * LOSS_FACTOR,
        measured=measured,
        expected=published.value,
        tolerance=f"a factor of {LOSS_FACTOR:g}",
        detail=source,
    )


def compare_errors(identifier: str, title: str, measured: float, published: Published, source: str) -> Check:
    """Return whether an error lies near a published one, both in percent: within its spreads, or half a point."""
    points = ERROR_POINTS if published.spread is None else SPREADS * published.spread
    return judged(
        identifier,
        title,
        abs(measured - published.value) <= points + ROUNDING,
        measured=measured,
        expected=published.value,
        tolerance=f"{points:.3g} points",
        detail=source,
    )


def check_expected(results: Results, expected: Mapping[str, Any] | None) -> Iterator[Check]:
    """Yield comparisons with the committed values of the same preset.

    Args:
        results: what was computed; nothing is compared under the full protocol.
        expected: `{"preset": ..., "tolerance": {...}, "runs": {name: {...}}}`: for each run `test_error` (a fraction;
            null stands for a run that diverges; tolerance in fractions) and, where there is one,
            `initial_train_loss` (nats, before the first step; the tolerance is relative).

    Raises:
        ValueError: the values are those of another preset.
    """
    if results.regime == "full" or expected is None:
        return
    if expected["preset"] != results.preset:
        raise ValueError(
            f"expected values are those of preset {expected['preset']!r}, not {results.preset!r}; "
            "pass the file of the same preset"
        )
    tolerance = expected["tolerance"]
    for name, values in sorted(expected["runs"].items()):
        run, title = results.runs.get(name), run_title(name, results)
        if run is None:
            yield not_run(f"expected/{name}", f"{title}: test error, %", "no such run among the results")
            continue
        yield _expected_error(name, title, run, values["test_error"], float(tolerance["test_error"]))
        if "initial_train_loss" in values:
            bound = float(tolerance["initial_train_loss"])
            yield _expected_start(name, title, run, float(values["initial_train_loss"]), bound)


def _expected_error(name: str, title: str, run: Run, wanted: float | None, bound: float) -> Check:
    measured = run.final("test_error")
    holds = measured is wanted if measured is None or wanted is None else abs(measured - wanted) <= bound + ROUNDING
    return judged(
        f"expected/{name}",
        f"{title}: test error, %",
        holds,
        measured="diverged" if measured is None else 100 * measured,
        expected="diverged" if wanted is None else 100 * wanted,
        tolerance=f"{100 * bound:g} points",
        detail=COMMITTED,
    )


def _expected_start(name: str, title: str, run: Run, wanted: float, bound: float) -> Check:
    """Return whether the loss before the first step is the committed one: no rounding has been amplified there."""
    measured = run.initial_loss
    return judged(
        f"expected/{name}/start",
        f"{title}: training loss before the first step, nats",
        measured is not None and math.isclose(measured, wanted, rel_tol=bound),
        measured=measured,
        expected=wanted,
        tolerance=f"{bound:g} relative",
        detail=COMMITTED,
    )
