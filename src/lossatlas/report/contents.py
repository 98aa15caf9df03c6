"""The report's items, figures and tables, in sections by paper, each with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lossatlas.report.catalogue import PAPERS
from lossatlas.report.claims import Claim
from lossatlas.report.comparison import Comparison, Standing, shown_in, standings
from lossatlas.report.images import Image
from lossatlas.report.made import Key, Stage
from lossatlas.report.tabular import Table

OTHER = "all"
TITLES = {**PAPERS, OTHER: "All runs"}
# figures and tables that belong to another paper than Li et al.
BELONG = {
    **dict.fromkeys(("garipov-figure-1", "garipov-figure-1-test", "garipov-figure-2", "fge-cycles"), "garipov2018"),
    **dict.fromkeys(("further-modes", "ensemble-size", "garipov-table-1", "curves", "budgets"), "garipov2018"),
    "ensemble-scores": "garipov2018",
    **dict.fromkeys(("sse-trajectory", "schedules", "huang-table-1"), "huang2017"),
    **dict.fromkeys(("further-convergence", "further-lines", "test-errors", "all-runs"), OTHER),
}


@dataclass(frozen=True)
class Item:
    """A figure or a table with the published numbers it shows, the claims it decides and the stages that made it."""

    id: str
    title: str
    label: str  # the paper's figure or table, empty if it mirrors none
    image: Image | None = None
    table: Table | None = None
    comparisons: tuple[Comparison, ...] = ()
    claims: tuple[Claim, ...] = ()
    stages: tuple[Stage, ...] = ()
    missing: tuple[Key, ...] = ()  # stages without an account

    @property
    def headline(self) -> str:
        """Title with the paper's figure or table before it."""
        return f"{self.label}. {self.title}" if self.label else self.title

    @property
    def counts(self) -> dict[Standing, int]:
        """How many of its published numbers have each verdict, those that none has left out."""
        return {name: count for name, count in standings(self.comparisons).items() if count}


@dataclass(frozen=True)
class Section:
    """The items of one paper, how its published numbers and claims stand, and the numbers that no item shows."""

    id: str
    title: str
    items: tuple[Item, ...]
    numbers: Mapping[Standing, int] = field(default_factory=dict)
    claims: Mapping[str, int] = field(default_factory=dict)
    rest: tuple[Comparison, ...] = ()


def sections(
    images: Sequence[Image],
    tables: Sequence[tuple[Table, tuple[Key, ...]]],
    *,
    comparisons: Sequence[Comparison],
    claims: Sequence[Claim],
    stages: Mapping[Key, Stage],
) -> list[Section]:
    """Return the sections of the report: the papers in order, then what belongs to all."""
    items = [_of_image(image) for image in images] + [_of_table(table) for table, _ in tables]
    used = {image.id: image.stages for image in images} | {table.id: keys for table, keys in tables}
    full = [_completed(item, used[item.id], comparisons, claims, stages) for item in items]
    return [
        Section(
            paper,
            TITLES[paper],
            tuple(item for item in full if BELONG.get(item.id, "li2018") == paper),
            standings(item for item in comparisons if item.paper == paper),
            _verdicts([claim for claim in claims if claim.paper == paper]),
            tuple(item for item in comparisons if item.paper == paper and not used.keys() & set(item.shown)),
        )
        for paper in TITLES
    ]


def _of_image(image: Image) -> Item:
    return Item(image.id, image.title, image.paper, image=image)


def _of_table(table: Table) -> Item:
    label, _, title = table.title.rpartition(". ")
    return Item(table.id, title, label, table=table)


def _completed(
    item: Item,
    used: Sequence[Key],
    comparisons: Sequence[Comparison],
    claims: Sequence[Claim],
    stages: Mapping[Key, Stage],
) -> Item:
    return Item(
        item.id,
        item.title,
        item.label,
        item.image,
        item.table,
        comparisons=tuple(shown_in(item.id, comparisons)),
        claims=tuple(claim for claim in claims if item.id in claim.shown),
        stages=tuple(stages[key] for key in used if key in stages),
        missing=tuple(key for key in used if key not in stages),
    )


def _verdicts(claims: Sequence[Claim]) -> dict[str, int]:
    return {name: sum(claim.verdict == name for claim in claims) for name in ("holds", "does not hold", "not run")}
