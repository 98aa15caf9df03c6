"""What `lossatlas check` tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_claims import make_results

from lossatlas.files import write_json
from lossatlas.report.account import Account, read_account
from lossatlas.report.artefacts import Results
from lossatlas.report.checks import checks_record, run_checks
from lossatlas.report.claims import decide_claims
from lossatlas.report.numbers import compare_numbers
from lossatlas.report.targets import Targets
from lossatlas.report.verdict import judged


def written(folder: Path, results: Results, targets: Targets) -> Account:
    checks, claims = run_checks(results, targets), decide_claims(results, targets)
    record = checks_record(checks, results, claims=claims, numbers=compare_numbers(results, targets))
    write_json(folder / "checks.json", record)
    return read_account(folder / "checks.json")


@pytest.fixture
def account(tmp_path: Path, targets: Targets) -> Account:
    return written(tmp_path, make_results(), targets)


def test_every_check_number_and_claim_has_a_line_with_its_numbers(account: Account) -> None:
    lines = account.lines()
    assert [len(lines[name]) for name in lines] == [len(account.checks), len(account.numbers), len(account.claims)]
    word, text = next(item for item in lines["Published numbers"] if "Figure 6: ResNet-56: test error" in item[1])
    assert (
        word == "not compared" and "published 5.89 %" in text and "(tolerance 0.5 points; not judged: shortened" in text
    )
    assert "off by" in text
    claims = {text.partition(":")[0]: (word, text) for word, text in lines["Claims of the papers"]}
    word, text = claims["fig3_filter_norm_ranks"]
    assert word == "holds" and " | " in text and "test error" in text


def test_the_summary_counts(account: Account) -> None:
    text = account.summary()
    assert text.startswith("preset made-up, shortened: checks: ") and "0 reproduced" in text
    assert "none listed" in replace(account, numbers=[]).summary()


def test_only_checks_fail_unless_it_is_strict(account: Account) -> None:
    good = replace(account, checks=[judged("finished/a", "a: training", True, measured=1, expected=1)])
    bad = replace(account, checks=[*good.checks, judged("finished/b", "b: training", False, measured=1, expected=2)])
    assert good.failures() == [] and bad.failures() == ["b: training: fail"]
    assert replace(account, checks=[]).failures() == ["no check holds: nothing was computed"]
    strict = good.failures(strict=True)
    assert strict[0].startswith("regime shortened") and len(strict) > 100


def test_strict_passes_where_all_comes_out(account: Account) -> None:
    good = replace(
        account,
        regime="full",
        checks=[judged("finished/a", "a: training", True, measured=1, expected=1)],
        numbers=[replace(number, verdict="reproduced") for number in account.numbers],
        claims=[replace(claim, verdict="holds") for claim in account.claims],
    )
    assert good.failures(strict=True) == []
    one = replace(good, claims=[*good.claims[1:], replace(good.claims[0], verdict="not run")])
    assert one.failures(strict=True) == [f"claim {good.claims[0].id}: not run"]


def test_a_folder_without_checks_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no checks.json in {tmp_path}; run `make reproduce`"):
        read_account(tmp_path / "checks.json")
