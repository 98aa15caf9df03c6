"""Claims about curves between minimizers and about ensembles (Garipov et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from lossatlas.report.artefacts import Connection, Results
from lossatlas.report.claims.inputs import available, curve, ensemble_errors, learnt
from lossatlas.report.claims.rule import Evidence, MissingError, Number, Rule
from lossatlas.report.ensembles import BUDGETS, ensemble_name, named_ensembles, pooled, split_study

T = TypeVar("T")
STATISTICS = "refreshed"  # of both, the segment and the curves
CLEAR = 0.1  # of the loss of guessing: the least height of what counts as a barrier
NEAR = 0.1  # of the segment's barrier: what the loss along a curve may rise above the worse end
OVERFLOW = "beyond the range: the loss overflows"
TRAINED = ("chain", "bezier")


def _pairs(results: Results) -> list[str]:
    """Return the stems of all planned segments, such as `vgg16_cifar100`."""
    names = dict.fromkeys([*(results.planned.get("curve") or {}), *results.curves])
    return [name.rpartition("_")[0] for name in names if split_study(name)[2] == "segment"]


def _rise(found: Connection) -> float:
    """Return how far the training loss along a curve rises above the worse of its ends, nats; infinity at overflow."""
    row = found.info["rows"].get(STATISTICS) or {}
    if row.get("not_finite"):
        return math.inf
    value = row.get("barrier_train_loss")
    if value is None:
        raise MissingError(f"no barrier of the curve {found.name} with {STATISTICS} statistics")
    return float(value)


def _joined(results: Results, pair: str) -> tuple[float, float, dict[str, float]]:
    """Return the loss of guessing, the segment's barrier and the rise along each trained curve with one bend."""
    segment = curve(results, f"{pair}_segment")
    for end in ("start", "end"):
        learnt(results, str(segment.info[end]))
    curves, absent = available(partial(curve, results), [f"{pair}_{kind}" for kind in TRAINED])
    bent = {name: _rise(found) for name, found in curves.items() if found.info["bends"] == 1}
    if not bent:
        raise MissingError("; ".join(absent) or f"no curve of {pair} with one bend")
    return math.log(int(segment.info["num_classes"])), _rise(segment), bent


def curves_connect(results: Results) -> Evidence:
    """Compare the rise of the training loss along trained curves with the barrier on the segment."""
    pairs, found = _judged(partial(_joined, results), _pairs(results), "a segment between two minimizers")
    for pair, (guessing, barrier, curves) in pairs.items():
        found.add(f"{pair}: barrier on the straight segment", [barrier], "nats", none=OVERFLOW)
        rises = {
            name: found.add(f"{pair}: rise along {name}", [rise], "nats", none=OVERFLOW)
            for name, rise in curves.items()
        }
        found.require(barrier >= CLEAR * guessing, f"{pair}: the straight segment has no clear barrier")
        # a share of an infinite barrier would bound nothing
        bound = NEAR * (barrier if math.isfinite(barrier) else guessing)
        far = [name for name, rise in rises.items() if rise.size > bound]
        found.require(len(far) < len(rises), f"{pair}: the loss does not stay near the ends' along {' or '.join(far)}")
        if 0 < len(far) < len(rises):
            found.notes.append(f"{pair}: not along {far[0]}")
    return found


def _judged(read: Callable[[str], T], names: list[str], what: str) -> tuple[dict[str, T], Evidence]:
    """Return what can be judged, and evidence that names what cannot.

    Raises:
        MissingError: nothing can.
    """
    there, absent = available(read, names)
    if not there:
        raise MissingError("; ".join(absent) or f"{what} is not there")
    return there, Evidence(notes=[f"left out: {reason}" for reason in absent])


def _tables(results: Results, *methods: str) -> list[str]:
    """Return the stems `<network>-<data>` for which all methods are planned or there."""
    named = set(named_ensembles(results))
    stems = dict.fromkeys(entry[:2] for entry in named_ensembles(results))
    return ["-".join(stem) for stem in stems if all((*stem, method) in named for method in methods)]


def _two(results: Results, stem: str, *, methods: tuple[str, str]) -> list[list[float]]:
    network, _, data = stem.partition("-")
    return [ensemble_errors(results, ensemble_name(network, data, method)) for method in methods]


def beats_single(results: Results) -> Evidence:
    """Compare the error of one budget of FGE with that of one network trained for it."""
    methods = ("ind", "fge")
    pairs, found = _judged(partial(_two, results, methods=methods), _tables(results, *methods), "Ind beside FGE")
    for stem, errors in pairs.items():
        single, fge = (found.add(f"{stem}-{m}: test error", e, "%") for m, e in zip(methods, errors, strict=True))
        found.greater(single, fge)
    return found


def beats_sse(results: Results) -> Evidence:
    """Compare the errors of FGE with those of snapshot ensembles at one, two and three budgets."""
    methods = ("sse", "fge")
    pairs, found = _judged(partial(_two, results, methods=methods), _tables(results, *methods), "SSE beside FGE")
    for stem, errors in pairs.items():
        names = [f"{stem}-{method}" for method in methods]
        one = [found.add(f"{name}: test error", e, "%") for name, e in zip(names, errors, strict=True)]
        spread = max(number.spread or 0.0 for number in one)
        _at_or_below(found, stem, 1, one, spread)
        for budgets in BUDGETS[1:]:
            rows = [pooled(results.ensembles[name], budgets) for name in names]
            values = [100 * row["error"] for row in rows if row]
            if len(values) == len(names):
                several = [
                    found.add(f"{name}: test error, {budgets} budgets", value, "%")
                    for name, value in zip(names, values, strict=True)
                ]
                _at_or_below(found, stem, budgets, several, spread)
    return found


def _at_or_below(found: Evidence, stem: str, budgets: int, numbers: list[Number], spread: float) -> None:
    sse, fge = numbers
    place = f"{stem}, {budgets}B"
    found.require(fge.size <= sse.size + spread, f"{place}: FGE is above SSE")
    if sse.size < fge.size <= sse.size + spread:
        found.notes.append(f"{place}: FGE is above SSE by no more than the spread of one budget")


RULES = (
    Rule(
        "curves_connect",
        "Per network and data set with a straight segment and a trained curve with one bend, training loss on clean "
        "images, statistics refreshed at each point. The segment must rise above the worse of its ends by at least "
        f"{CLEAR:g} of the loss of guessing (the logarithm of the number of classes); along the polygonal chain or "
        f"the Bezier curve the loss must rise above the worse end by at most {NEAR:g} of the segment's barrier. A loss "
        "that is not finite at a point counts as infinite: on the segment as a barrier, and the curves' share is then "
        "of the loss of guessing; on a curve as not near its ends. Networks that have not learnt are left out.",
        curves_connect,
        ("garipov-figure-1", "garipov-figure-2", "curves"),
    ),
    Rule(
        "fge_beats_single",
        "Per network and data set: the mean test error of FGE at one budget must lie below that of the independent "
        "networks (Ind) at one budget by more than the standard deviation over seeds of either.",
        beats_single,
        ("ensemble-size", "garipov-table-1"),
    ),
    Rule(
        "fge_beats_sse",
        "Per network and data set, at one budget (means over seeds) and at two and three (members pooled): the test "
        "error of FGE must not lie above that of SSE by more than the larger of their standard deviations over seeds "
        "at one budget; without repeats not at all.",
        beats_sse,
        ("ensemble-size", "garipov-table-1"),
    ),
)
