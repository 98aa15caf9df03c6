"""One published number beside ours: the difference, the verdict and the likely reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lossatlas.report.checks_runs import ERROR_POINTS, LOSS_FACTOR, ROUNDING, SPREADS
from lossatlas.report.made import Key
from lossatlas.report.targets import Published
from lossatlas.report.wording import DIVERGED, NOT_RUN

Standing = Literal["reproduced", "off", "not compared", "not run"]
STANDINGS: tuple[Standing, ...] = ("reproduced", "off", "not compared", "not run")


@dataclass(frozen=True)
class Comparison:
    """A published number and ours.

    Attributes:
        paper: a key of `targets.yaml`.
        source: the paper's table or figure.
        what: the network and quantity, in words.
        published: the published number, in `unit`.
        ours: our number in `unit`; None where it was not run or is not finite.
        spread: its standard deviation, where it is a mean.
        diverged: whether ours was run and has no finite value.
        unit: `%` or `nats`.
        comparable: whether the number may be judged by the published one: the papers' protocol, data and network.
        reasons: what differs from the paper.
        stage: kind and name of the stage that made ours.
        shown: ids of the figures and tables that show it.
    """

    paper: str
    source: str
    what: str
    published: Published
    ours: float | None
    unit: str
    comparable: bool
    reasons: tuple[str, ...]
    stage: Key | None
    shown: tuple[str, ...]
    spread: float | None = None
    diverged: bool = False

    @property
    def standing(self) -> Standing:
        """The verdict: a number is judged under the full protocol only."""
        if self.ours is None and not self.diverged:
            return "not run"
        if not self.comparable:
            return "not compared"
        return "reproduced" if self._near() else "off"

    def _near(self) -> bool:
        if self.ours is None:
            return False
        if self.unit == "nats":
            return self.published.value / LOSS_FACTOR <= self.ours <= self.published.value * LOSS_FACTOR
        return abs(self.ours - self.published.value) <= self._points + ROUNDING

    @property
    def _points(self) -> float:
        return ERROR_POINTS if self.published.spread is None else SPREADS * self.published.spread

    @property
    def tolerance(self) -> str:
        """How far apart the numbers may be, in words."""
        return f"a factor of {LOSS_FACTOR:g}" if self.unit == "nats" else f"{self._points:.3g} points"

    @property
    def ours_text(self) -> str:
        """Our number for reading."""
        if self.ours is None:
            return DIVERGED if self.diverged else NOT_RUN
        spread = "" if self.spread is None else f" ± {self.spread:.2f}"
        return f"{self.ours:.3g} nats" if self.unit == "nats" else f"{self.ours:.2f}{spread} %"

    @property
    def published_text(self) -> str:
        """The published number for reading, with its spread and its mark."""
        if self.unit == "nats":
            return f"{self.published.value:.3f} nats{self.published.mark}"
        spread = "" if self.published.spread is None else f" ± {self.published.spread:g}"
        return f"{self.published.value:.2f}{spread} %{self.published.mark}"

    @property
    def difference_text(self) -> str:
        """Ours less the published one; a dash where ours is missing."""
        if self.ours is None:
            return "–"
        difference = self.ours - self.published.value
        text = f"{difference:+.3f} nats" if self.unit == "nats" else f"{difference:+.2f} points"
        return text.replace("-", "−")

    @property
    def reason(self) -> str:
        """What differs from the paper and so is the likely reason of a difference."""
        if self.standing == "not run":
            return ""
        if self.reasons:
            return "; ".join(self.reasons)
        return "chance of the seed, or a setting that the paper does not give" if self.standing == "off" else ""


def standings(comparisons: Iterable[Comparison]) -> dict[Standing, int]:
    """Return how many published numbers have each verdict."""
    counts = Counter(item.standing for item in comparisons)
    return {name: counts[name] for name in STANDINGS}


def shown_in(identifier: str, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the published numbers that a figure or table shows."""
    return [item for item in comparisons if identifier in item.shown]
