from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_claims import make_run, with_run, without

from lossatlas.files import write_json
from lossatlas.report.artefacts import Results
from lossatlas.report.checks import checks_passed, checks_record, read_checks, run_checks
from lossatlas.report.claims import PAPERS, RULES, THEMES, decide_claims, read_claims
from lossatlas.report.claims.rule import Evidence, MissingError, Number, Rule, judge
from lossatlas.report.targets import Targets


def test_every_claim_has_one_rule(targets: Targets) -> None:
    ids = [claim["id"] for paper in PAPERS for claim in targets.content[paper]["claims"]]
    assert set(RULES) == set(ids)
    assert len(ids) == sum(len(theme.RULES) for theme in THEMES) == 22 + 3
    assert list(targets.content) == [*PAPERS, "huang2017", "parameter_counts"]
    assert "claims" not in targets.content["huang2017"]
    for rule in RULES.values():
        assert rule.statement.endswith(".")
        assert rule.shown


@pytest.mark.parametrize("claim", list(RULES))
def test_every_rule_can_hold_and_shows_its_numbers(all_hold: Results, targets: Targets, claim: str) -> None:
    found = judge(RULES[claim], all_hold, targets)
    assert found.verdict == "holds", found.detail
    assert found.numbers
    assert all(number.label for number in found.numbers)
    assert found.text == targets.claim(claim)


@pytest.mark.parametrize("claim", list(RULES))
def test_nothing_measured_is_not_run_and_named(results: Results, targets: Targets, claim: str) -> None:
    empty = replace(results, runs={}, planes={}, regime="full")
    found = judge(RULES[claim], empty, targets)
    assert (found.verdict, found.numbers) == ("not run", ())
    assert found.detail


@pytest.mark.parametrize("claim", list(RULES))
def test_embedded_data_decide_nothing(all_hold: Results, targets: Targets, claim: str) -> None:
    found = judge(RULES[claim], replace(all_hold, regime="embedded"), targets)
    assert found.verdict == "not run"
    assert found.detail.startswith("embedded data: the rule would give: holds")
    assert found.numbers == judge(RULES[claim], all_hold, targets).numbers


def test_embedded_data_say_what_fails(all_hold: Results, targets: Targets) -> None:
    worse = with_run(replace(all_hold, regime="embedded"), "vgg9", error=0.2)
    found = judge(RULES["small_batch_generalizes"], worse, targets)
    assert found.verdict == "not run"
    assert found.detail.startswith("embedded data: the rule would give: does not hold; vgg9_large: test error is not")


def test_what_is_missing_or_diverged_is_named(all_hold: Results, targets: Targets) -> None:
    rule = RULES["small_batch_generalizes"]
    gone = judge(rule, without(all_hold, "runs", "vgg9_large"), targets)
    assert (gone.verdict, gone.detail) == ("not run", "run vgg9_large is not there")
    wild = judge(rule, with_run(all_hold, "vgg9_nowd", error=0.1, status="diverged"), targets)
    assert (wild.verdict, wild.detail) == ("not run", "run vgg9_nowd diverged")


def test_a_comparison_must_exceed_the_spread_of_the_seeds() -> None:
    found = Evidence()
    low, high = found.add("b", [1.0, 1.2]), found.add("a", [1.1, 1.3])
    assert low.value == pytest.approx(1.1)
    assert low.n == 2
    assert low.spread == pytest.approx(0.1414, abs=1e-4)
    found.greater(high, low)
    assert found.failed == ["a is above that of b only within the spread of 2 seeds"]
    found.greater(found.add("c", [1.4, 1.6]), low)
    assert len(found.failed) == 1
    found.greater(low, high)
    assert found.failed[1] == "b is not above that of a"


def test_seeds_reach_the_verdict(all_hold: Results, targets: Targets) -> None:
    rule = RULES["small_batch_generalizes"]
    runs = {**all_hold.runs, "vgg9_seed1": make_run("vgg9", error=0.07), "vgg9_seed2": make_run("vgg9", error=0.17)}
    found = judge(rule, replace(all_hold, runs=runs), targets)
    number = next(number for number in found.numbers if number.label == "vgg9: test error")
    assert number.n == 3
    assert number.value == pytest.approx(10.0)
    assert found.verdict == "does not hold"
    assert "only within the spread of 3 seeds" in found.detail


def test_numbers_are_readable() -> None:
    assert Number("a", 0.123456, "nats").text == "0.1235 nats"
    assert Number("a", 0.5, "", 0.0123, 3).text == "0.5 ± 0.012 (3 seeds)"
    assert Number("a", 2.0, bound="at least").text == "at least 2"
    assert (Number("a", None).text, Number("a", None).size) == ("beyond the range", float("inf"))
    assert Evidence().add("a", None, none="diverged").text == "diverged"


@pytest.mark.parametrize("beyond", [None, float("inf")])
def test_one_of_several_beyond_the_range_makes_a_lower_bound(beyond: float | None) -> None:
    found = Evidence()
    number = found.add("a", [1.0, beyond, 2.0])
    assert (number.value, number.n, number.bound, number.ceiling) == (1.5, 3, "at least", float("inf"))
    assert number.text == "at least 1.5 ± 0.71 (3 seeds)"
    found.greater(number, found.add("b", 0.5))
    assert not found.failed
    found.greater(found.add("c", 4.0), number)
    assert found.failed == ["c is not shown to be above that of a, a lower bound"]
    assert found.add("d", [beyond, beyond]).text == "beyond the range"


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
@pytest.mark.parametrize("several", [False, True])
def test_what_is_not_a_number_decides_nothing(all_hold: Results, targets: Targets, value: float, several: bool) -> None:
    def decide(results: Results) -> Evidence:
        found = Evidence()
        found.greater(found.add("moon: width", [1.0, value] if several else value), found.add("b", 1.0))
        return found

    found = judge(Rule("a4_repeatable", "Look up.", decide, ()), all_hold, targets)
    assert (found.verdict, found.detail) == ("not run", "moon: width is not a number")


def test_what_rests_on_one_seed_is_named() -> None:
    found = Evidence()
    found.add("count", 5)
    assert found.single == []
    found.add("a: error", [1.0])
    assert found.single == ["one seed"]
    found.add("b: error", [1.0, 2.0])
    assert found.single == ["one seed of a"]
    found.add("b: level", [1.0])
    assert found.single == ['one seed of a, "level"']
    found.add("a: level", [1.0])
    assert found.single == ['one seed of a, "level"']


def test_numbers_are_kept_where_nothing_is_decided(all_hold: Results, targets: Targets) -> None:
    def decide(results: Results) -> Evidence:
        raise MissingError("the moon", [Number("a", 1.0)])

    found = judge(Rule("a4_repeatable", "Look up.", decide, ()), all_hold, targets)
    assert (found.verdict, found.numbers) == ("not run", (Number("a", 1.0),))


def test_claims_survive_their_file_and_decide_no_check(all_hold: Results, targets: Targets, tmp_path: Path) -> None:
    claims, checks = decide_claims(all_hold, targets), run_checks(all_hold, targets)
    record = checks_record(checks, all_hold, claims=claims)
    write_json(tmp_path / "checks.json", record)
    assert read_claims(tmp_path / "checks.json") == claims
    assert read_checks(tmp_path / "checks.json") == checks
    worse = decide_claims(with_run(all_hold, "vgg9", error=0.2), targets)
    assert {claim.verdict for claim in worse} > {"does not hold"}
    assert checks_record(checks, all_hold, claims=worse)["passed"] == record["passed"] == checks_passed(checks)


@pytest.mark.parametrize("text", ["", "{}", '{"claims": null}', '{"claims": [{"id": "a"}]}'])
def test_a_damaged_file_of_claims_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "checks.json").write_text(text)
    with pytest.raises(ValueError, match=r"checks\.json holds no readable list of claims .* run `dvc repro`"):
        read_claims(tmp_path / "checks.json")


def test_a_rule_that_finds_nothing_says_so(all_hold: Results, targets: Targets) -> None:
    def decide(results: Results) -> Evidence:
        raise MissingError("the moon")

    found = judge(Rule("a4_repeatable", "Look up.", decide, ()), all_hold, targets)
    assert (found.verdict, found.detail, found.rule) == ("not run", "the moon", "Look up.")
