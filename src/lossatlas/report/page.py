"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.files import read_json
from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import PAPERS
from lossatlas.report.checks import GROUPS, checks_passed
from lossatlas.report.claims import VERDICTS, Claim
from lossatlas.report.tabular import Table
from lossatlas.report.verdict import Check, Number
from lossatlas.report.wording import DAGGER_NOTE, REGIMES

TEMPLATE = Path(__file__).with_name("page.html.j2")
COUNTED = {"pass": "hold", "fail": "do not hold", "not run": "not run"}
WORDS = {"pass": "holds", "fail": "does not hold", "not run": "not run"}


@dataclass(frozen=True)
class Image:
    """A figure of the report as it goes into the page."""

    id: str
    title: str
    caption: str
    paper: str
    source: str  # a data URI
    width: int
    height: int


def read_images(folder: Path) -> list[Image]:
    """Read the index `figures.json` and the PNG files beside it."""
    return [_image(record, (folder / record["file"]).read_bytes()) for record in read_json(folder / "figures.json")]


def _image(record: Mapping[str, Any], content: bytes) -> Image:
    width, height = struct.unpack(">II", content[16:24])  # the PNG header
    source = "data:image/png;base64," + base64.b64encode(content).decode()
    return Image(record["id"], record["title"], record["caption"], record["paper"], source, width, height)


def show(value: Number) -> str:
    """Return a check's number for reading."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


@dataclass(frozen=True)
class Place:
    """Where something stands: in words, and its id on the page where it has one."""

    text: str
    id: str


def _places(claim: Claim, images: Sequence[Image], tables: Sequence[Table]) -> list[Place]:
    """Return the figures and tables that show what a claim is about."""
    titles = {image.id: image.paper or image.title for image in images}
    titles |= {table.id: table.title.rpartition(". ")[0] or table.title for table in tables}
    return [Place(titles.get(key, key.replace("-", " ").capitalize()), key * (key in titles)) for key in claim.shown]


def render_page(
    results: Results,
    *,
    images: Sequence[Image],
    tables: Sequence[Table],
    checks: Sequence[Check],
    claims: Sequence[Claim] = (),
) -> str:
    """Return the whole report as HTML; equal inputs give equal text.

    Args:
        results: what was computed.
        images: the figures, in order.
        tables: the tables, in order.
        checks: the checks, in order.
        claims: the claims, in order; the page groups them by verdict.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["show"] = show
    groups = [(key, title, [check for check in checks if check.group == key]) for key, title in GROUPS.items()]
    statuses = Counter(run.info["status"] for run in results.runs.values())
    page = environment.from_string(TEMPLATE.read_text()).render(
        results=results,
        regime=REGIMES[results.regime],
        images=images,
        tables=tables,
        groups=[
            (key, title, items, Counter(check.verdict for check in items)) for key, title, items in groups if items
        ],
        verdicts=Counter(check.verdict for check in checks),
        claims=[(verdict, [claim for claim in claims if claim.verdict == verdict]) for verdict in VERDICTS],
        claimed=Counter(claim.verdict for claim in claims),
        papers=PAPERS,
        places={claim.id: _places(claim, images, tables) for claim in claims},
        passed=checks_passed(checks),
        words=WORDS,
        counted=COUNTED,
        statuses=statuses,
        missing=[name for name in results.planned_runs if name not in results.runs],
        drawn=sum(surface.plane is not None for surface in results.planes.values()),
        note=DAGGER_NOTE,
    )
    return page.rstrip() + "\n"
