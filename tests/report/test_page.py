from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from lossatlas.report.artefacts import Results
from lossatlas.report.checks import run_checks
from lossatlas.report.claims import PAPERS, Claim, Number, decide_claims
from lossatlas.report.comparisons import compare_all
from lossatlas.report.foundations import foundations
from lossatlas.report.images import Image
from lossatlas.report.made import Stage
from lossatlas.report.numbers import compare_numbers, compare_parameters, count_verdicts
from lossatlas.report.page import Material, plain, render_markdown, render_page, show
from lossatlas.report.tables import draw_tables
from lossatlas.report.targets import Targets
from lossatlas.report.wording import REGIMES

IMAGE = Image(
    "figure-5",
    "Depth",
    "A <caption> & more",
    "Figure 5",
    "data:image/png;base64,AAAA",
    10,
    20,
    how="Dark is low.",
    limits="Nothing | else.",
    alt="Depth. Six surfaces; ResNet-20 8.00 %",
    file="figures/figure-5.png",
    vector="vector/figure-5.svg",
    stages=(("train", "resnet20"), ("plane", "resnet20"), ("sharpness", "all")),
)
STAGES = {
    ("train", "resnet20"): Stage(
        "train", "resnet20", "abcdef0123456789", ("lr 0.1", "epochs 12"), {"torch": "1"}, "cpu"
    ),
    ("plane", "resnet20"): Stage("plane", "resnet20", "fedcba9876543210", ("run resnet20",), {"torch": "1"}, "cpu"),
}
BESIDE = {"explorer.html", "report.md", "vector/figure-5.svg"}
VOID = {"meta", "img", "input"}


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


def material(results: Results, targets: Targets, **changes: Any) -> Material:
    whole = Material(
        results=results,
        images=[IMAGE],
        tables=list(draw_tables(results, targets)),
        checks=run_checks(results, targets),
        claims=decide_claims(results, targets),
        comparisons=compare_all(results, targets),
        parameters=list(compare_parameters(results, targets)),
        stages=STAGES,
    )
    return replace(whole, **changes)


def page(results: Results, targets: Targets) -> str:
    return render_page(material(results, targets))


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
    assert {link for link in reader.links if not link.startswith("#")} == BESIDE
    assert "http" not in text
    assert not re.search(r"url\(|@import", text)


def test_every_entry_of_the_contents_has_its_place(results: Results, targets: Targets) -> None:
    reader = read(page(results, targets))
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} <= set(reader.ids)
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


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a", "b"), "Seed 0 over 2 runs. Every number rests on one seed."),
        (
            ("a", "a_seed1", "b"),
            "Seeds 0 and 1 over 3 runs. 1 training was repeated with other seeds; "
            "the numbers of the other 1 rest on one.",
        ),
        (("a", "a_seed1"), "Seeds 0 and 1 over 2 runs. 1 training was repeated with other seeds."),
    ],
)
def test_the_page_says_what_rests_on_one_seed(results: Results, names: tuple[str, ...], words: str) -> None:
    run = results.runs["resnet20"]
    runs = {name: replace(run, name=name, info={**run.info, "seed": int(name.endswith("1"))}) for name in names}
    assert dict(foundations(replace(results, runs=runs), {}))["Seeds"] == words


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
    text = render_page(material(results, targets, checks=[], claims=claims))
    reader = read(text)
    words = " ".join(" ".join(reader.text).split())
    for part in ("1 of 2 claims of the papers hold, 2 not run", "Does not hold (1)", "Holds (1)", "Not run (2)"):
        assert part in words, part
    assert "a <radius> 0.25 ± 0.01 of the direction (3 seeds)" in words
    assert "2 numbers measured" in words and "1 number measured" in words
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


def test_claims_stand_before_the_figures(results: Results, targets: Targets) -> None:
    ids = read(page(results, targets)).ids
    assert ids.index("data") < ids.index("claims") < ids.index("figure-5") < ids.index("table-2")
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


def test_each_item_shows_numbers_settings_and_the_hash_of_its_stages(results: Results, targets: Targets) -> None:
    text = page(results, targets)
    item = text[text.index('id="figure-5"') : text.index('id="table-1"')]
    words = " ".join(
        " ".join(read(item.rpartition("<section")[0].partition(">")[2].rpartition("</section>")[0]).text).split()
    )
    for part in (
        "How to read it. Dark is low.",
        "What not to conclude. Nothing | else.",
        "6 published numbers 5 not compared 1 not run",
        "not compared diverged 16.44 % –",
        "not compared 8.00 % 7.37 % +0.63 points",
        "12 of 300 epochs",
        "Settings of 2 stages",
        "train : lr 0.1, epochs 12",
        "plane resnet20 fedcba98",
        "Vector figure: SVG , beside this page once dvc repro has made it",
    ):
        assert part in words, part
    assert 'alt="Depth. Six surfaces; ResNet-20 8.00 %"' in item


def test_the_summary_counts_numbers_and_claims_by_paper(results: Results, targets: Targets) -> None:
    text = page(results, targets)
    words = " ".join(" ".join(read(text).text).split())
    assert "0 of 175 published numbers reproduced" in words
    summary = text[text.index('id="summary"') :]
    cells = [re.findall(r"<td[^>]*>(?:<a[^>]*>)?([^<]*)", row) for row in re.findall("<tr>.*?</tr>", summary)[:4]]
    by_paper = {row[0]: [int(cell) for cell in row[1:]] for row in cells if row}
    assert set(by_paper) == {"Li et al. 2018", "Garipov et al. 2018", "Huang et al. 2017"}
    assert [sum(row[:4]) for row in by_paper.values()] == [45, 90, 40]
    assert [sum(row[4:]) for row in by_paper.values()] == [
        len(targets.content[p].get("claims", ())) for p in PAPERS
    ] + [0]


def test_numbers_and_numbers_of_parameters_are_counted_as_the_command_does(results: Results, targets: Targets) -> None:
    text = render_markdown(material(results, targets))
    of_papers, of_parameters = re.findall(r"^- Published numbers(?: of parameters)?: (.*)$", text, flags=re.MULTILINE)
    counts = [re.findall(r"(\d+) ([a-z ]+)", line) for line in (of_papers, of_parameters)]
    total = Counter({name: int(n) for n, name in counts[0]}) + Counter({name: int(n) for n, name in counts[1]})
    assert total == +Counter(count_verdicts(compare_numbers(results, targets)))
    assert counts[1]
    words = " ".join(" ".join(read(page(results, targets)).text).split())
    assert f"are judged by lossatlas check : {of_parameters}." in words
    assert "of parameters" not in render_markdown(material(results, targets, parameters=()))


def test_a_stage_is_found_in_the_tracking_by_its_whole_hash(results: Results, targets: Targets) -> None:
    whole = material(results, targets)
    words = " ".join(" ".join(read(render_page(whole)).text).split())
    assert "tags.`lossatlas.stage_hash` = 'abcdef0123456789'" in words
    assert "plane resnet20 fedcba9876543210" in words
    assert "``tags.`lossatlas.stage_hash` = 'abcdef0123456789'``" in render_markdown(whole)


def test_claims_of_which_none_is_judged_are_not_counted_as_zero_of_zero(results: Results, targets: Targets) -> None:
    numbers = (Number("a radius", 0.25),)
    claims = [
        Claim(name, "Text", "Rule.", "not run", "would", found, ()) for name, found in (("a", numbers), ("b", ()))
    ]
    whole = material(results, targets, checks=[], claims=claims)
    words = " ".join(" ".join(read(render_page(whole)).text).split())
    assert "none judged of 2 claims of the papers; for 1 of them numbers were computed" in words
    assert "deliberately not judged against the papers" in words
    assert "Claims judged: none of 2; numbers were computed for 1" in render_markdown(whole)


def test_the_markdown_twin_has_rules_settings_and_details(results: Results, targets: Targets) -> None:
    numbers = (Number("a radius", 0.25, "of the direction"), Number("b", None))
    claims = [Claim("a", "Text", "Rule | one.", "holds", "wide", numbers, ("figure-5",))]
    whole = material(results, targets, claims=claims)
    text = render_markdown(whole)
    assert "| Text | Li et al. 2018 | holds | wide | Rule \\| one. | a radius 0.25 of the direction; b " in text
    assert "lr 0.1, epochs 12" in text and "`fedcba9876543210`" in text
    assert all(plain(check.detail) in text for check in whole.checks)
    for number in whole.comparisons:
        if set(number.shown) & {"figure-5", "table-1", "table-2"}:
            assert f"| {number.standing} | {number.tolerance} | {plain(number.reason) or '–'} |" in text


def test_contents_go_by_paper(results: Results, targets: Targets) -> None:
    ids = read(page(results, targets)).ids
    order = ["li2018", "figure-5", "table-1", "all", "test-errors", "all-runs"]
    assert [name for name in ids if name in order] == order


def test_the_markdown_twin_has_the_same_numbers(results: Results, targets: Targets) -> None:
    whole = material(results, targets)
    text = render_markdown(whole)
    assert "![Depth. Six surfaces; ResNet-20 8.00 %](figures/figure-5.png)" in text
    assert "**What not to conclude.** Nothing \\| else." in text
    assert "A &lt;caption&gt; &amp; more" in text and "Synthetic &lt;results&gt;" in text
    for table, _ in whole.tables:
        for row in table.rows:
            for cell in row:
                assert plain(cell.text) in text, cell
    for number in whole.comparisons:
        if set(number.shown) & {"figure-5", "table-1", "table-2"}:
            assert f"| {number.ours_text} | {number.published_text} | {number.difference_text} |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    starts = [i for i, line in enumerate(text.splitlines()) if re.fullmatch(r"\|( --- \|)+", line)]
    assert len(rows) > 50 and len(starts) > 8
    lines = text.splitlines()
    for start in starts:
        columns = lines[start].count("|")
        assert lines[start - 1].replace("\\|", "").count("|") == columns
        assert lines[start + 1].replace("\\|", "").count("|") == columns


def test_two_markdown_renderings_are_equal(results: Results, targets: Targets) -> None:
    whole = material(results, targets)
    assert render_markdown(whole) == render_markdown(whole)
