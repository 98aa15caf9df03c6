"""What a `checks.json` says, as `lossatlas check` tells it: checks, published numbers and claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossatlas.files import read_json
from lossatlas.report.checks import GROUPS, checks_passed, read_checks
from lossatlas.report.claims import Claim, read_claims
from lossatlas.report.numbers import Reproduced, count_verdicts, read_numbers
from lossatlas.report.verdict import Check

Line = tuple[str, str]  # verdict, what it is of


@dataclass(frozen=True)
class Account:
    """The verdicts of one preset."""

    preset: str
    regime: str
    checks: Sequence[Check]
    numbers: Sequence[Reproduced]
    claims: Sequence[Claim]

    def lines(self) -> dict[str, list[Line]]:
        """Return a line for each verdict, by heading."""
        return {
            "Checks": [_of_check(check) for check in self.checks],
            "Published numbers": [_of_number(number) for number in self.numbers],
            "Claims of the papers": [_of_claim(claim) for claim in self.claims],
        }

    def summary(self) -> str:
        """Return the counts in one line."""
        checks, claims = (Counter(item.verdict for item in found) for found in (self.checks, self.claims))
        numbers = ", ".join(f"{n} {word}" for word, n in count_verdicts(self.numbers).items())
        judged = numbers if self.numbers else "none listed, an earlier version wrote checks.json"
        return (
            f"preset {self.preset}, {self.regime}: checks: {checks['pass']} pass, {checks['fail']} fail, "
            f"{checks['not run']} not run; published numbers: {judged}; claims: {claims['holds']} hold, "
            f"{claims['does not hold']} do not, {claims['not run']} not run"
        )

    def failures(self, *, strict: bool = False) -> list[str]:
        """Return what makes the command fail, in words.

        Args:
            strict: fail unless every published number is reproduced and every claim holds, under the papers' protocol.
        """
        failed = [f"{check.title}: {check.verdict}" for check in self.checks if check.verdict == "fail"]
        if not failed and not checks_passed(self.checks):
            failed = ["no check holds: nothing was computed"]
        if not strict:
            return failed
        if self.regime != "full":
            failed.append(f"regime {self.regime}: only the full protocol of the papers can reproduce their numbers")
        failed += [f"{number.what}: {number.text}" for number in self.numbers if number.verdict != "reproduced"]
        if not self.numbers:
            failed.append("no published number is listed: an earlier version wrote checks.json")
        return failed + [f"claim {claim.id}: {claim.verdict}" for claim in self.claims if claim.verdict != "holds"]

    def record(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "preset": self.preset,
            "regime": self.regime,
            "passed": checks_passed(self.checks),
            "checks": [asdict(check) for check in self.checks],
            "numbers": [{**asdict(number), "text": number.text} for number in self.numbers],
            "claims": [asdict(claim) for claim in self.claims],
        }


def read_account(path: Path) -> Account:
    """Read a `checks.json`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is cut off or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checks.json in {path.parent}; run `make reproduce`, or name a folder that has one")
    checks, claims, numbers = read_checks(path), read_claims(path), read_numbers(path)
    record = read_json(path)
    return Account(str(record.get("preset", "")), str(record.get("regime", "")), checks, numbers, claims)


def _of_check(check: Check) -> Line:
    values = ""
    if check.measured is not None:
        values = f": {_plain(check.measured)}, expected {_plain(check.expected)}"
        values += "" if check.tolerance == "equal" else f" within {check.tolerance}"
    group = GROUPS.get(check.group, check.group).partition(";")[0] if check.verdict == "fail" else ""
    return check.verdict, f"{check.title}{values}" + "".join(f" ({word})" for word in (check.detail, group) if word)


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _of_number(number: Reproduced) -> Line:
    unit = f" {number.unit}" if number.unit else ""
    ours = "" if number.measured is None else f" {number.text}, ours {number.measured:.4g}{unit},"
    published = f" published {number.published:.8g}{unit}{number.mark}"
    return number.verdict, f"{number.what}:{ours}{published} (tolerance {number.tolerance}; {_regime(number)})"


def _regime(number: Reproduced) -> str:
    """Return under what ours was computed, and what differs from the paper."""
    judged = number.regime == "exact protocol" and number.verdict != "not compared"
    named = number.reason.startswith(number.regime)
    words = [number.regime] * (not named) + [number.reason] * bool(number.reason)
    return ("" if judged else "not judged: ") + "; ".join(words)


def _of_claim(claim: Claim) -> Line:
    numbers = "; ".join(f"{number.label} {number.text}" for number in claim.numbers)
    detail = f" [{claim.detail}]" if claim.detail else ""
    return claim.verdict, f"{claim.id}: {claim.text}{detail}" + (f" | {numbers}" if numbers else "")
