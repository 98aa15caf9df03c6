"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        verdict: `problem` stops a command, `note` is worth knowing.
        subject: what was looked at.
        text: what was found.
        remedy: what to do; empty where nothing is to be done.
    """

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return the line."""
        return f"{self.verdict:8} {self.subject}: {self.text}" + (f"; {self.remedy}" if self.remedy else "")


def ok(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding("ok", subject, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding that stops nothing."""
    return Finding("note", subject, text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Return a finding that something will fail."""
    return Finding("problem", subject, text, remedy)
