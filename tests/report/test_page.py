from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lossatlas.report.artefacts import Results
from lossatlas.report.checks import run_checks
from lossatlas.report.claims import PAPERS, Claim, Number, decide_claims
from lossatlas.report.page import Image, render_page, show
from lossatlas.report.tables import all_tables
from lossatlas.report.targets import Targets
from lossatlas.report.wording import REGIMES

IMAGE = Image("figure-5", "Depth", "A <caption> & more", "Figure 5", "data:image/png;base64,AAAA", 10, 20)
VOID = {"meta", "img"}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in {"script", "link", "iframe"}
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [values["href"]] if values.get("href") else []
        self.images += [values["src"]] if values.get("src") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(results: Results, targets: Targets) -> str:
    checks, claims = run_checks(results, targets), decide_claims(results, targets)
    return render_page(results, images=[IMAGE], tables=all_tables(results, targets), checks=checks, claims=claims)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader


def test_the_page_needs_nothing_beside_it(results: Results, targets: Targets) -> None:
    text = page(results, targets)
    reader = read(text)
    assert reader.images
    assert all(source.startswith("data:") for source in reader.images)
    assert all(link.startswith("#") for link in reader.links)
    assert "http" not in text
    assert not re.search(r"url\(|@import", text)


def test_every_entry_of_the_contents_has_its_place(results: Results, targets: Targets) -> None:
    reader = read(page(results, targets))
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)


def test_text_is_escaped(results: Results, targets: Targets) -> None:
    wild = replace(results, title="<script>alert(1)</script>")
    text = page(wild, targets)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "A &lt;caption&gt; &amp; more" in text


@pytest.mark.parametrize("regime", list(REGIMES))
def test_the_top_says_what_may_be_compared(results: Results, targets: Targets, regime: str) -> None:
    words = " ".join(read(page(replace(results, regime=regime), targets)).text)  # type: ignore[arg-type]
    assert "made-up" in words
    assert REGIMES[regime] in words  # type: ignore[index]
    assert "1,437" in words


def test_numbers_published_and_ours_and_verdicts_are_shown(results: Results, targets: Targets) -> None:
    words = " ".join(read(page(results, targets)).text)
    for text in (
        "7.37 %",
        "8.00 %",
        "5.07 %†",
        "not run",
        "diverged",
        "does not hold",
        "holds",
        "abcdef01",
        "one seed says so",
    ):
        assert text in words, text
    assert "† known from" in words


def test_claims_are_grouped_by_verdict_with_their_numbers(results: Results, targets: Targets) -> None:
    numbers = (Number("a <radius>", 0.25, "of the direction", 0.01, 3), Number("b", None))
    claims = [
        Claim("one", "First & foremost", "Rule one.", "does not hold", "too wide", numbers, ("figure-5", "figure-99")),
        Claim("two", "Second", "Rule two.", "holds", "", numbers[:1], ("table-2",)),
        Claim("three", "Third", "Rule three.", "not run", "no plane resnet20", (), ("figure-5",)),
        Claim("four", "Fourth", "Rule four.", "not run", "no plane resnet20", (), ("figure-5",)),
    ]
    text = render_page(results, images=[IMAGE], tables=all_tables(results, targets), checks=[], claims=claims)
    reader = read(text)
    words = " ".join(" ".join(reader.text).split())
    for part in ("1 of 2 claims of the papers hold, 2 not run", "Does not hold (1)", "Holds (1)", "Not run (2)"):
        assert part in words, part
    assert "a <radius> 0.25 ± 0.01 of the direction (3 seeds)" in words
    assert "too wide." in words
    assert "First & foremost" in words
    assert "Shown in Figure 5 , Figure 99." in words
    assert {"#figure-5", "#table-2"} <= set(reader.links)
    assert "#figure-99" not in reader.links
    ids = [name for name in reader.ids if name.startswith("claim")]
    assert ids == ["claims", "claims-holds", "claim-two", "claims-does-not-hold", "claim-one", "claims-not-run"] + [
        "claim-three",
        "claim-four",
    ]


def test_claims_stand_before_the_data(results: Results, targets: Targets) -> None:
    ids = read(page(results, targets)).ids
    assert ids.index("claims") < ids.index("data") < ids.index("figures")
    claims = [claim for paper in PAPERS for claim in targets.content[paper]["claims"]]
    assert sum(name.startswith("claim-") for name in ids) == len(claims)
    words = " ".join(" ".join(read(page(results, targets)).text).split())
    assert words.count("Garipov et al. 2018. Rule.") == len(targets.content["garipov2018"]["claims"])


def test_two_renderings_are_equal(results: Results, targets: Targets) -> None:
    assert page(results, targets) == page(results, targets)


def test_an_empty_preset_has_a_page(results: Results, targets: Targets) -> None:
    empty = replace(results, data={}, planned_runs={}, planned_planes={}, runs={}, planes={})
    words = " ".join(read(page(empty, targets)).text)
    assert "not passed" in words
    assert "0 of 0" in words


def test_numbers_of_checks_are_readable() -> None:
    assert [show(value) for value in (None, 0.123456789, 1234567, "diverged")] == [
        "–",
        "0.12346",
        "1,234,567",
        "diverged",
    ]
