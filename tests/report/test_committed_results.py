"""The results that lie in `reports/`: complete, of today's published numbers, and described."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from synthetic_claims import make_results

from lossatlas.files import read_json
from lossatlas.report.claims import RULES, read_claims
from lossatlas.report.numbers import Reproduced, compare_numbers, read_numbers
from lossatlas.report.targets import Targets

REPORTS = Path(__file__).parents[2] / "reports"
DESCRIBED = ("cifar-mini", "cifar-mini/modes")
PRESETS = ("default", *DESCRIBED)
# what one verdict on the minimizers rests on: three seeds
CLOSE = (
    "fig2_sharpness_flips",
    "fig2_weight_norm",
    "fig2_weight_histogram",
    "fig3_filter_norm_ranks",
    "small_batch_generalizes",
    "norm_per_iteration",
    "sec7_pca_two_dims",
    "path_turns",
    "a2_layer_norm_fails",
)


def _published(number: Reproduced) -> tuple[float, str, str, str]:
    return number.published, number.mark, number.unit, number.tolerance


@pytest.mark.parametrize("preset", PRESETS)
def test_every_published_number_is_there_as_it_is_published_today(preset: str, targets: Targets) -> None:
    recorded = read_numbers(REPORTS / preset / "checks.json")
    today = compare_numbers(make_results(), targets)
    # the words name the network that was built, which is not the same in each preset
    assert [_published(number) for number in recorded] == [_published(number) for number in today]
    assert len({number.what for number in recorded}) == len(recorded)
    for number in recorded:
        assert (number.verdict == "not run") == (number.measured is None)
        assert number.verdict not in ("reproduced", "off") or number.regime == "exact protocol" or not number.unit
        assert number.reason or number.verdict in ("reproduced", "not run"), number.what


@pytest.mark.parametrize("preset", PRESETS)
def test_every_claim_is_there_with_the_numbers_that_decide_it(preset: str) -> None:
    claims = read_claims(REPORTS / preset / "checks.json")
    assert sorted(claim.id for claim in claims) == sorted(RULES)
    for claim in claims:
        assert claim.detail or claim.verdict == "holds", claim.id
        assert claim.numbers or claim.verdict == "not run", claim.id


def test_ten_claims_of_li_et_al_are_decided_on_real_images() -> None:
    about = read_json(REPORTS / "cifar-mini/checks.json")
    assert about["regime"] == "shortened"
    claims = [claim for claim in read_claims(REPORTS / "cifar-mini/checks.json") if claim.paper == "li2018"]
    assert sum(claim.verdict in ("holds", "does not hold") for claim in claims) >= 10


@pytest.mark.parametrize("claim", CLOSE)
def test_close_claims_rest_on_three_seeds_and_their_spread(claim: str) -> None:
    [found] = [found for found in read_claims(REPORTS / "cifar-mini/checks.json") if found.id == claim]
    assert "one seed" not in found.detail.split("; ")
    of_runs = [number for number in found.numbers if ":" in number.label]
    repeated = [number for number in of_runs if number.n >= 3 and number.spread is not None]
    subjects, certain = ({number.label.partition(":")[0] for number in some} for some in (of_runs, repeated))
    assert subjects and subjects == certain


@pytest.mark.parametrize("preset", DESCRIBED)
def test_each_figure_is_described(preset: str) -> None:
    folder = REPORTS / preset
    page = (folder / "README.md").read_text(encoding="utf-8")
    described = dict(re.findall(r"^\| `(?:figures/)?([\w-]+\.(?:png|gif))` \| (.+) \|$", page, flags=re.MULTILINE))
    pictures = {path.name for path in (folder / "figures").iterdir() if path.suffix in (".png", ".gif")}
    assert described.keys() == pictures
    for picture, sentence in described.items():
        assert len(sentence.split()) >= 6 and sentence.endswith("."), picture


@pytest.mark.parametrize(("preset", "paper"), [("cifar-mini", "li2018"), ("cifar-mini/modes", "garipov2018")])
def test_the_page_has_the_verdicts(preset: str, paper: str) -> None:
    page = (REPORTS / preset / "README.md").read_text(encoding="utf-8")
    claims = [claim for claim in read_claims(REPORTS / preset / "checks.json") if claim.paper == paper]
    counts = Counter(claim.verdict for claim in claims)
    [(every, holds, fails)] = re.findall(r"of (\d+) claims of \S+ et al\. (\d+) hold, (\d+) do(?:es)? not", page)
    assert (int(every), int(holds), int(fails)) == (len(claims), counts["holds"], counts["does not hold"])
    for claim in claims:
        assert claim.verdict != "does not hold" or f"`{claim.id}`" in page, claim.id


@pytest.mark.parametrize("preset", PRESETS)
def test_the_report_has_the_verdicts_of_the_checks(preset: str) -> None:
    report = (REPORTS / preset / "report.md").read_text(encoding="utf-8")
    claims = read_claims(REPORTS / preset / "checks.json")
    rows = [line.split(" | ") for line in report.splitlines() if line.startswith("| ")]
    shown = {row[0].removeprefix("| ").replace("\\", ""): row[2] for row in rows if len(row) > 5}
    for claim in claims:
        assert shown[claim.text] == claim.verdict, claim.id
    listed = re.findall(r"^- Published numbers(?: of parameters)?: (.*)$", report, flags=re.MULTILINE)
    counted: Counter[str] = Counter()
    for n, name in re.findall(r"(\d+) ([a-z ]+)", " ".join(listed)):
        counted[name.strip()] += int(n)
    verdicts = Counter(number.verdict for number in read_numbers(REPORTS / preset / "checks.json"))
    assert +counted == verdicts


def test_no_weights_are_committed() -> None:
    assert [path for path in REPORTS.rglob("*") if path.suffix in (".safetensors", ".pt", ".h5", ".pth")] == []
