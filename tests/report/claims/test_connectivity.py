"""The rules about curves and ensembles, on results that break one condition alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from synthetic_claims import make_results, with_run
from synthetic_ensembles import BARRIERS, ERRORS, make_curve, make_ensemble, skipped, with_connections, with_ensemble

from lossatlas.report.artefacts import Results
from lossatlas.report.claims import RULES, Claim, connectivity
from lossatlas.report.claims.connectivity import CLEAR, NEAR
from lossatlas.report.claims.rule import judge
from lossatlas.report.targets import Targets

Change = Callable[[Results], Results]


def curve(kind: str, barrier: float | None, *, network: str = "vgg16", **info: Any) -> Change:
    def change(results: Results) -> Results:
        made = make_curve(network, kind, barrier=barrier, **info)
        return replace(results, curves={**results.curves, made.name: made})

    return change


def ensemble(method: str, *errors: Any, network: str = "vgg16") -> Change:
    name = f"{network}-cifar10-{method}"
    made = make_ensemble(network, "cifar10", method, *errors)
    return lambda results: replace(results, ensembles={**results.ensembles, name: made})


def without(group: str, *names: str) -> Change:
    def change(results: Results) -> Results:
        left = {name: item for name, item in getattr(results, group).items() if name not in names}
        changes: dict[str, Any] = {group: left}
        return replace(results, **changes)

    return change


def decided(claim: str, results: Results, targets: Targets, *changes: Change) -> Claim:
    for change in changes:
        results = change(results)
    return judge(RULES[claim], results, targets)


GUESSING = math.log(10)


BROKEN: list[tuple[str, list[Change], str]] = [
    ("curves_connect", [curve("segment", 0.99 * CLEAR * GUESSING)], "vgg16: the straight segment has no clear"),
    (
        "curves_connect",
        [curve("chain", 2.01 * NEAR), curve("bezier", 3.0)],
        "vgg16: the loss does not stay near the ends' along vgg16_chain or vgg16_bezier",
    ),
    ("curves_connect", [curve("bezier", 0.3), without("curves", "vgg16_chain")], "along vgg16_bezier"),
    ("fge_beats_single", [ensemble("fge", [10.1, 10.5])], "vgg16-cifar10-ind: test error is not above that of"),
    ("fge_beats_single", [ensemble("fge", [9.8, 10.4])], "only within the spread of 2 seeds"),
    ("fge_beats_sse", [ensemble("fge", [10.6, 10.6])], "vgg16-cifar10, 1B: FGE is above SSE"),
    ("fge_beats_sse", [ensemble("fge", [9.2, 9.4], 9.4)], "vgg16-cifar10, 2B: FGE is above SSE"),
    ("fge_beats_sse", [ensemble("fge", [9.2, 9.4], 8.8, 9.2)], "vgg16-cifar10, 3B: FGE is above SSE"),
]


@pytest.mark.parametrize(("claim", "changes", "words"), BROKEN)
def test_a_result_that_breaks_one_condition_breaks_the_claim(
    all_hold: Results, targets: Targets, claim: str, changes: list[Change], words: str
) -> None:
    found = decided(claim, all_hold, targets, *changes)
    assert found.verdict == "does not hold"
    assert words in found.detail


def test_every_rule_is_broken_once() -> None:
    assert {claim for claim, _, _ in BROKEN} == {rule.id for rule in connectivity.RULES}


@pytest.mark.parametrize(
    "changes",
    [
        [curve("segment", 1.01 * CLEAR * GUESSING), curve("chain", 0.02)],
        [curve("chain", 1.99 * NEAR), curve("bezier", 3.0)],
        [curve("chain", 0.0), curve("bezier", 0.0)],
    ],
)
def test_just_within_the_bounds_the_claim_holds(all_hold: Results, targets: Targets, changes: list[Change]) -> None:
    assert decided("curves_connect", all_hold, targets, *changes).verdict == "holds"


def test_one_of_the_two_curves_is_enough_and_the_other_is_named(all_hold: Results, targets: Targets) -> None:
    found = decided("curves_connect", all_hold, targets, curve("chain", 1.0))
    assert (found.verdict, found.detail) == ("holds", "vgg16: not along vgg16_chain; one seed")
    numbers = {number.label: number.value for number in found.numbers}
    assert numbers["vgg16: barrier on the straight segment"] == BARRIERS["segment"]
    assert numbers["vgg16: rise along vgg16_chain"] == 1.0


def overflowing(kind: str, points: int | None, barrier: float | None = 0.0) -> Change:
    """Some points of a curve without a finite loss, in the row that decides; in older files without their number."""

    def change(results: Results) -> Results:
        made = make_curve("vgg16", kind, barrier=barrier)
        rows = {name: dict(row) for name, row in made.info["rows"].items()}
        if points is not None:
            rows["refreshed"]["not_finite"] = points
        changed = replace(made, info={**made.info, "rows": rows})
        return replace(results, curves={**results.curves, made.name: changed})

    return change


@pytest.mark.parametrize("barrier", [0.0, None])
def test_a_segment_that_overflows_has_a_barrier(all_hold: Results, targets: Targets, barrier: float | None) -> None:
    found = decided("curves_connect", all_hold, targets, overflowing("segment", 3, barrier))
    assert (found.verdict, found.detail) == ("holds", "one seed")
    number = next(number for number in found.numbers if "straight segment" in number.label)
    assert (number.value, number.text) == (None, "beyond the range: the loss overflows")
    # and does not excuse whatever the curves do
    bent = [curve("chain", 1.01 * NEAR * GUESSING), curve("bezier", 1.01 * NEAR * GUESSING)]
    found = decided("curves_connect", all_hold, targets, overflowing("segment", 3, barrier), *bent)
    assert (found.verdict, "along vgg16_chain or vgg16_bezier" in found.detail) == ("does not hold", True)
    bent[0] = curve("chain", 0.99 * NEAR * GUESSING)
    assert decided("curves_connect", all_hold, targets, overflowing("segment", 3), *bent).verdict == "holds"


def test_a_curve_that_overflows_does_not_stay_near_its_ends(all_hold: Results, targets: Targets) -> None:
    one = decided("curves_connect", all_hold, targets, overflowing("chain", 1))
    assert (one.verdict, one.detail) == ("holds", "vgg16: not along vgg16_chain; one seed")
    for segment in (curve("segment", 2.0), overflowing("segment", 5)):
        both = decided("curves_connect", all_hold, targets, segment, overflowing("chain", 1), overflowing("bezier", 61))
        assert both.verdict == "does not hold"
        assert "the loss does not stay near the ends' along vgg16_chain or vgg16_bezier" in both.detail
    none = decided("curves_connect", all_hold, targets, overflowing("chain", 0), overflowing("bezier", None))
    assert none.verdict == "holds" and all(number.value is not None for number in none.numbers)
    lost = decided("curves_connect", all_hold, targets, overflowing("segment", None, None))
    assert lost.detail == "no barrier of the curve vgg16_segment with refreshed statistics"


def test_only_curves_with_one_bend_decide(all_hold: Results, targets: Targets) -> None:
    found = decided("curves_connect", all_hold, targets, curve("chain", 9.0, bends=3))
    assert (found.verdict, found.detail) == ("holds", "one seed")
    none = decided("curves_connect", all_hold, targets, curve("chain", 0.0, bends=3), curve("bezier", 0.0, bends=2))
    assert (none.verdict, none.detail) == ("not run", "no curve of vgg16 with one bend")


def test_refreshed_statistics_decide_for_the_segment(all_hold: Results, targets: Targets) -> None:
    item = all_hold.curves["vgg16_segment"]
    frozen = {"interpolated": item.info["rows"]["refreshed"], "refreshed": {"barrier_train_loss": 0.0}}
    changed = replace(item, info={**item.info, "rows": frozen})
    found = decided("curves_connect", replace(all_hold, curves={**all_hold.curves, item.name: changed}), targets)
    assert "no clear barrier" in found.detail
    only = replace(item, info={**item.info, "rows": {"interpolated": item.info["rows"]["interpolated"]}})
    found = decided("curves_connect", replace(all_hold, curves={**all_hold.curves, item.name: only}), targets)
    assert found.detail == "no barrier of the curve vgg16_segment with refreshed statistics"


def test_every_network_is_judged_and_what_cannot_be_is_named(all_hold: Results, targets: Targets) -> None:
    both = with_connections(all_hold, "vgg16", "preresnet164")
    assert decided("curves_connect", both, targets).detail == "one seed"
    worse = decided("curves_connect", both, targets, curve("segment", 0.0, network="preresnet164"))
    assert worse.verdict == "does not hold"
    assert worse.detail.startswith("preresnet164: the straight segment has no clear barrier")
    gone = decided("curves_connect", both, targets, without("curves", "preresnet164_segment"))
    assert (gone.verdict, gone.detail) == ("holds", "left out: no curve preresnet164_segment; one seed")
    untrained = decided("curves_connect", with_run(both, "vgg16", error=0.9, loss=2.3), targets)
    assert "left out: run vgg16 has not learnt" in untrained.detail
    assert {number.label.partition(":")[0] for number in untrained.numbers} == {"preresnet164"}


def test_what_is_missing_is_named(all_hold: Results, targets: Targets) -> None:
    names = ("vgg16_chain", "vgg16_bezier")
    found = decided("curves_connect", all_hold, targets, without("curves", *names))
    assert (found.verdict, found.detail) == ("not run", "no curve vgg16_chain; no curve vgg16_bezier")
    lost = with_ensemble(all_hold, "vgg16-cifar10-fge", **skipped("run vgg16 diverged"))
    for claim in ("fge_beats_single", "fge_beats_sse"):
        found = decided(claim, lost, targets)
        assert (found.verdict, found.detail) == ("not run", "no ensemble vgg16-cifar10-fge (run vgg16 diverged)")
    nothing = decided("fge_beats_single", make_results(), targets)
    assert (nothing.verdict, nothing.detail) == ("not run", "Ind beside FGE is not there")


def test_at_sse_is_within_the_spread_of_one_budget(all_hold: Results, targets: Targets) -> None:
    # SSE has 9.8 and 9.9: mean 9.85, spread 0.07; FGE 9.6 and 10.2: mean 9.9, spread 0.42
    near = decided("fge_beats_sse", all_hold, targets, ensemble("fge", [9.6, 10.2], 9.3))
    assert near.verdict == "holds"
    assert "vgg16-cifar10, 1B: FGE is above SSE by no more than the spread of one budget" in near.detail
    assert "vgg16-cifar10, 2B: FGE is above SSE by no more than the spread" in near.detail
    single = [ensemble("sse", [9.8]), ensemble("fge", [9.81])]
    found = decided("fge_beats_sse", all_hold, targets, *single)
    assert (found.verdict, found.detail) == ("does not hold", "vgg16-cifar10, 1B: FGE is above SSE; one seed")
    equal = decided("fge_beats_sse", all_hold, targets, ensemble("sse", [9.8]), ensemble("fge", [9.8]))
    assert (equal.verdict, equal.detail) == ("holds", "one seed")


def test_numbers_carry_seeds_and_budgets(all_hold: Results, targets: Targets) -> None:
    found = decided("fge_beats_sse", all_hold, targets)
    numbers = {number.label: number for number in found.numbers}
    first = numbers["vgg16-cifar10-fge: test error"]
    assert (first.n, first.value) == (2, pytest.approx(9.3))
    assert numbers["vgg16-cifar10-sse: test error, 3 budgets"].value == pytest.approx(ERRORS["sse"][2])
    assert found.detail == ""


def test_a_budget_that_only_one_method_has_is_not_compared(all_hold: Results, targets: Targets) -> None:
    found = decided("fge_beats_sse", all_hold, targets, ensemble("sse", [9.8, 9.9], 9.2))
    assert found.verdict == "holds"
    assert not any("3 budgets" in number.label for number in found.numbers)
