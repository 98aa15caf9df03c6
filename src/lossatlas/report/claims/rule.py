"""What a rule finds and what that says about a claim of a paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Literal

from lossatlas.report.artefacts import Results
from lossatlas.report.targets import Targets

Verdict = Literal["holds", "does not hold", "not run"]
VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "not run")
BEYOND = "beyond the range"
RANKED = 0.8  # Spearman among four: all in order, or one pair of neighbours exchanged


@dataclass(frozen=True)
class Number:
    """One number that decided.

    Attributes:
        label: what was measured, on what.
        value: the number, the mean where runs were repeated; None where it lies beyond the range or is not finite.
        unit: its unit, empty for a plain number.
        spread: standard deviation over repeats with other seeds, where there are some.
        n: how many seeds.
        bound: `at least` where the true value lies beyond the range that was looked at, else empty; the words instead
            of a number where `value` is None.
    """

    label: str
    value: float | None
    unit: str = ""
    spread: float | None = None
    n: int = 1
    bound: str = ""

    @property
    def size(self) -> float:
        """The least that it may be: infinity where the value is None."""
        return math.inf if self.value is None else self.value

    @property
    def ceiling(self) -> float:
        """The most that it may be: infinity where `value` is None or a lower bound."""
        return math.inf if self.bound else self.size

    @property
    def text(self) -> str:
        """The number for reading, with its spread and unit."""
        if self.value is None:
            return self.bound or BEYOND
        spread = "" if self.spread is None else f" ± {self.spread:.2g}"
        unit = f" {self.unit}" if self.unit else ""
        seeds = f" ({self.n} seeds)" if self.n > 1 else ""
        return f"{self.bound} {self.value:.4g}{spread}{unit}{seeds}".strip()


class MissingError(Exception):
    """What a rule needs is not there, or decides nothing; the text says why, `numbers` what is known all the same."""

    def __init__(self, reason: str, numbers: Sequence[Number] = ()) -> None:
        """Keep the reason and the numbers."""
        super().__init__(reason)
        self.numbers = tuple(numbers)


@dataclass
class Evidence:
    """What a rule measured, which of its conditions fail, and how many seeds each of its numbers has."""

    numbers: list[Number] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        label: str,
        values: float | Sequence[float | None] | None,
        unit: str = "",
        bound: str = "",
        none: str = BEYOND,
    ) -> Number:
        """Record a number, or the mean and spread of one per seed.

        Values beyond the range (None, infinity) make a mean that of the others and a lower bound: what lies beyond
        the range is larger than all within it.

        Args:
            label: what was measured, `<run>: <what>` where it is a run's.
            values: the number; a sequence has one per seed.
            unit: its unit.
            bound: `at least` for a lower bound.
            none: words where no value is within the range.

        Raises:
            MissingError: a value is not a number.
        """
        several = list(values) if isinstance(values, Sequence) else [values]
        if any(value is not None and (math.isnan(value) or value == -math.inf) for value in several):
            raise MissingError(f"{label} is not a number")
        known = [float(value) for value in several if value is not None and value < math.inf]
        if isinstance(values, Sequence):
            self.seeds[label] = len(several)
        words = none if not known else "at least" if len(known) < len(several) else bound
        spread = stdev(known) if len(known) > 1 else None
        number = Number(label, fmean(known) if known else None, unit, spread, len(several), words)
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
        elif larger.size < smaller.ceiling == math.inf:
            self.failed.append(f"{larger.label} is not shown to be above that of {smaller.label}, a lower bound")
        elif larger.size - smaller.size <= margin:
            n = max(larger.n, smaller.n)
            self.failed.append(f"{larger.label} is above that of {smaller.label} only within the spread of {n} seeds")

    def within(self, number: Number, low: float, high: float) -> None:
        """Require a number to lie between two bounds; a note names one that the spread over seeds reaches."""
        subject = number.label.partition(":")[0]
        if number.size < low:
            self.failed.append(f"{subject}: less than {low:g} {number.unit}")
        elif number.size > high:
            self.failed.append(f"{subject}: more than {high:g} {number.unit}")
        near = next((bound for bound in (low, high) if abs(number.size - bound) <= (number.spread or -1.0)), None)
        if near is not None:
            self.notes.append(f"{subject}: {near:g} {number.unit} lies within the spread of {number.n} seeds")

    def without(self, absent: Sequence[str]) -> None:
        """Go on without what is not there: a condition that fails decides all the same; if none does, nothing is.

        Raises:
            MissingError: something is not there, and no condition fails.
        """
        if absent and not self.failed:
            raise MissingError("; ".join(dict.fromkeys(absent)), self.numbers)
        self.notes += [f"left out: {reason}" for reason in dict.fromkeys(absent)]

    @property
    def single(self) -> list[str]:
        """What rests on one seed, in a sentence, if anything does."""
        once = [label for label, n in self.seeds.items() if n == 1]
        if len(once) == len(self.seeds):
            return ["one seed"] if once else []
        repeated = {label.partition(":")[0] for label, n in self.seeds.items() if n > 1}
        # of runs that were not repeated; of those that were, of what is of one seed all the same
        names: dict[str, None] = {}
        for subject, _, what in (label.partition(": ") for label in once):
            names[f'"{what}"' if subject in repeated else subject] = None
        return [f"one seed of {', '.join(names)}"] if names else []


@dataclass(frozen=True)
class Rule:
    """How a claim is decided.

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
    """A claim of a paper, its rule, its verdict and the numbers that decided it; `paper` is a key of `targets.yaml`."""

    id: str
    text: str
    rule: str
    verdict: Verdict
    detail: str
    numbers: tuple[Number, ...]
    shown: tuple[str, ...]
    paper: str = "li2018"


def judge(rule: Rule, results: Results, targets: Targets) -> Claim:
    """Return the verdict of a rule; on embedded data only what it would be, as nothing there is a claim's evidence."""
    text = targets.claim(rule.id)
    try:
        found = rule.decide(results)
    except MissingError as missing:
        return Claim(rule.id, text, rule.statement, "not run", str(missing), missing.numbers, rule.shown)
    verdict: Verdict = "does not hold" if found.failed else "holds"
    sentences = [*found.failed, *found.notes, *found.single]
    if results.regime == "embedded":
        sentences = [f"embedded data: the rule would give: {verdict}", *sentences]
        verdict = "not run"
    return Claim(rule.id, text, rule.statement, verdict, "; ".join(sentences), tuple(found.numbers), rule.shown)
