"""The report as one HTML file, and the same in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import PAPERS
from lossatlas.report.checks import GROUPS, checks_passed
from lossatlas.report.claims import VERDICTS, Claim
from lossatlas.report.comparison import STANDINGS, Comparison, standings
from lossatlas.report.contents import Section, sections
from lossatlas.report.foundations import foundations
from lossatlas.report.images import Image
from lossatlas.report.made import Key, Stage, grouped, ordered
from lossatlas.report.numbers import Reproduced, count_verdicts
from lossatlas.report.tabular import Table
from lossatlas.report.verdict import Check, Number
from lossatlas.report.wording import DAGGER_NOTE, REGIMES

TEMPLATE, MARKDOWN = (Path(__file__).with_name(f"page.{kind}.j2") for kind in ("html", "md"))
COUNTED = {"pass": "hold", "fail": "do not hold", "not run": "not run"}
WORDS = {"pass": "holds", "fail": "does not hold", "not run": "not run"}
HASH = 8  # letters of a hash that name a stage


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    Attributes:
        results: what was computed.
        images: the figures, in order.
        tables: the tables, in order, with kind and name of each stage whose results they read.
        checks: the checks, in order.
        claims: the claims, in order; the page groups them by verdict.
        comparisons: the published numbers beside ours.
        parameters: the published numbers of parameters beside ours.
        stages: the accounts of all stages.
    """

    results: Results
    images: Sequence[Image]
    tables: Sequence[tuple[Table, tuple[Key, ...]]]
    checks: Sequence[Check] = ()
    claims: Sequence[Claim] = ()
    comparisons: Sequence[Comparison] = ()
    parameters: Sequence[Reproduced] = ()
    stages: dict[Key, Stage] = field(default_factory=dict)


def show(value: Number) -> str:
    """Return a check's number for reading."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, in a cell of a table too."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for letter in "\\`*_[]|":
        escaped = escaped.replace(letter, f"\\{letter}")
    return " ".join(escaped.split())


@dataclass(frozen=True)
class Place:
    """Where something stands: in words, and its id on the page where it has one."""

    text: str
    id: str


def _places(claim: Claim, found: Sequence[Section]) -> list[Place]:
    """Return the figures and tables that show what a claim is about."""
    titles = {item.id: item.label or item.title for section in found for item in section.items}
    return [Place(titles.get(key, key.replace("-", " ").capitalize()), key * (key in titles)) for key in claim.shown]


def _render(template: Path, material: Material, *, escaped: bool) -> str:
    from jinja2 import Environment, StrictUndefined

    # escaped is on for HTML; Markdown is escaped by its own filter
    environment = Environment(autoescape=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"show": show, "plain": plain, "grouped": grouped}
    page = environment.from_string(template.read_text()).render(**_content(material))
    return page.rstrip() + "\n"


def _content(material: Material) -> dict[str, Any]:
    results, checks, claims = material.results, material.checks, material.claims
    groups = [(key, title, [check for check in checks if check.group == key]) for key, title in GROUPS.items()]
    found = sections(
        material.images,
        material.tables,
        comparisons=material.comparisons,
        claims=claims,
        stages=material.stages,
    )
    return {
        "results": results,
        "regime": REGIMES[results.regime],
        "sections": found,
        "standings": STANDINGS,
        "numbers": standings(material.comparisons),
        "parameters": {name: n for name, n in count_verdicts(material.parameters).items() if n},
        "groups": [
            (key, title, items, Counter(item.verdict for item in items)) for key, title, items in groups if items
        ],
        "verdicts": Counter(check.verdict for check in checks),
        "claims": [(verdict, [claim for claim in claims if claim.verdict == verdict]) for verdict in VERDICTS],
        "claimed": Counter(claim.verdict for claim in claims),
        "claims_judged": any(claim.verdict != "not run" for claim in claims),
        "claims_computed": sum(bool(claim.numbers) for claim in claims),
        "all_stages": [material.stages[key] for key in ordered(set(material.stages))],
        "papers": PAPERS,
        "places": {claim.id: _places(claim, found) for claim in claims},
        "passed": checks_passed(checks),
        "words": WORDS,
        "counted": COUNTED,
        "statuses": Counter(run.info["status"] for run in results.runs.values()),
        "missing": [name for name in results.planned_runs if name not in results.runs],
        "drawn": sum(surface.plane is not None for surface in results.planes.values()),
        "foundations": foundations(results, material.stages),
        "note": DAGGER_NOTE,
        "letters": HASH,
    }


def render_page(material: Material) -> str:
    """Return the whole report as HTML; equal inputs give equal text."""
    return _render(TEMPLATE, material, escaped=True)


def render_markdown(material: Material) -> str:
    """Return the report in Markdown, with pictures beside it; equal inputs give equal text."""
    return _render(MARKDOWN, material, escaped=False)
