"""What a rule finds and what that says about a claim of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Literal

from lossatlas.report.artefacts import Results
from lossatlas.report.targets import Targets

Verdict = Literal["holds", "does not hold", "not run"]
VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "not run")


class MissingError(Exception):
    """What a rule needs is not there; the text names it."""


@dataclass(frozen=True)
class Number:
    """One number that decided.

    Attributes:
        label: what was measured, on what.
        value: the number, the mean where runs were repeated; None where it is not finite.
        unit: its unit, empty for a plain number.
        spread: standard deviation over repeats with other seeds, where there are some.
        n: how many seeds.
        bound: `at least` where the true value lies beyond the range that was looked at, else empty.
    """

    label: str
    value: float | None
    unit: str = ""
    spread: float | None = None
    n: int = 1
    bound: str = ""

    @property
    def size(self) -> float:
        """The value for comparisons: infinity where it is None."""
        return float("inf") if self.value is None else self.value

    @property
    def text(self) -> str:
        """The number for reading, with its spread and unit."""
        if self.value is None:
            return "none"
        spread = "" if self.spread is None else f" ± {self.spread:.2g}"
        unit = f" {self.unit}" if self.unit else ""
        seeds = f" ({self.n} seeds)" if self.n > 1 else ""
        return f"{self.bound} {self.value:.4g}{spread}{unit}{seeds}".strip()


@dataclass
class Evidence:
    """What a rule measured and which of its conditions fail."""

    numbers: list[Number] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, label: str, values: float | Sequence[float | None] | None, unit: str = "", bound: str = "") -> Number:
        """Record a number, or the mean and spread of one per seed; None among them makes the number None."""
        several = list(values) if isinstance(values, Sequence) else [values]
        known = [float(value) for value in several if value is not None and abs(value) < float("inf")]
        whole = len(known) == len(several)
        spread = stdev(known) if whole and len(known) > 1 else None
        number = Number(label, fmean(known) if whole else None, unit, spread, len(several), bound)
        self.numbers.append(number)
        return number

    def require(self, holds: bool, otherwise: str) -> None:
        """Record a condition of the rule; `otherwise` says in words what is the case if it fails."""
        if not holds:
            self.failed.append(otherwise)

    def greater(self, larger: Number, smaller: Number) -> None:
        """Require one number to exceed another, by more than the spread over seeds where runs were repeated."""
        margin = max(larger.spread or 0.0, smaller.spread or 0.0)
        if not larger.size > smaller.size:
            self.failed.append(f"{larger.label} is not above that of {smaller.label}")
        elif larger.size - smaller.size <= margin:
            n = max(larger.n, smaller.n)
            self.failed.append(f"{larger.label} is above that of {smaller.label} only within the spread of {n} seeds")


@dataclass(frozen=True)
class Rule:
    """How a claim is decided, fixed before anything is measured.

    Attributes:
        id: the claim's id in `targets.yaml`.
        statement: the rule in words, as the report shows it.
        decide: returns the evidence, or raises `MissingError`.
        shown: ids of the figures and tables that show the same.
    """

    id: str
    statement: str
    decide: Callable[[Results], Evidence]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, its rule, its verdict and the numbers that decided it."""

    id: str
    text: str
    rule: str
    verdict: Verdict
    detail: str
    numbers: tuple[Number, ...]
    shown: tuple[str, ...]


def judge(rule: Rule, results: Results, targets: Targets) -> Claim:
    """Return the verdict of a rule; on embedded data only what it would be, as nothing there is a claim's evidence."""
    text = targets.claim(rule.id)
    try:
        found = rule.decide(results)
    except MissingError as missing:
        return Claim(rule.id, text, rule.statement, "not run", str(missing), (), rule.shown)
    verdict: Verdict = "does not hold" if found.failed else "holds"
    sentences = [*found.failed, *found.notes]
    if results.regime == "embedded":
        sentences = [f"embedded data: the rule would give: {verdict}", *sentences]
        verdict = "not run"
    return Claim(rule.id, text, rule.statement, verdict, "; ".join(sentences), tuple(found.numbers), rule.shown)
