"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "not run"]
Number = float | int | str | None


@dataclass(frozen=True)
class Check:
    """One comparison, its verdict and the numbers that decided.

    Attributes:
        id: `<group>/<what>`, unique.
        title: what is compared, with its unit.
        verdict: `not run` where there was nothing to compare.
        measured: our value.
        expected: the value it is compared with.
        tolerance: how far they may be apart, in words.
        detail: why, where that is not plain from the numbers.
    """

    id: str
    title: str
    verdict: Verdict
    measured: Number = None
    expected: Number = None
    tolerance: str = ""
    detail: str = ""

    @property
    def group(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]


def judged(
    identifier: str,
    title: str,
    holds: bool,
    *,
    measured: Number,
    expected: Number,
    tolerance: str = "equal",
    detail: str = "",
) -> Check:
    """Return a check that holds or does not."""
    return Check(identifier, title, "pass" if holds else "fail", measured, expected, tolerance, detail)


def not_run(identifier: str, title: str, detail: str) -> Check:
    """Return a check that had nothing to compare."""
    return Check(identifier, title, "not run", detail=detail)
