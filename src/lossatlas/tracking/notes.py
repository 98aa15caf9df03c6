"""What a run's page in the UI says about it, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any


def description(
    kind: str,
    name: str,
    preset: str,
    stage_hash: str,
    *,
    found: Mapping[str, Any],
    papers: Iterable[str] = (),
    serves: Iterable[str] = (),
) -> str:
    """Return where the papers show such a result, what uses it, and how to compute it again.

    Args:
        kind: the stage's kind.
        name: the stage's name.
        preset: the preset's name.
        stage_hash: what identifies the result.
        found: the result's own account: `title`, `note` and `reason` are shown, as text.
        papers: figures and tables.
        serves: stages that use the result.
    """
    lines = [_text(found[word]) for word in ("title", "note", "reason") if found.get(word)]
    facts = [
        f"Stage `{kind} {name}` of preset `{preset}`, hash `{stage_hash[:16]}`",
        f"Files: `artifacts/{preset}/{kind}/{name}`",
        f"Again: `lossatlas stage {kind} {name}`",
    ]
    if papers := tuple(papers):
        facts.insert(0, f"In the papers: {'; '.join(papers)}")
    if serves := tuple(serves):
        facts.append(f"Used by: {', '.join(f'`{stage}`' for stage in serves)}")
    return "\n\n".join([*lines, "\n".join(f"- {fact}" for fact in facts)])


def report_description(preset: str, counts: Mapping[str, int]) -> str:
    """Return what the run of a report says."""
    told = ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in counts.items())
    lines = (
        f"The report of preset `{preset}`: `report.html` among the artifacts, `reports/{preset}` in the checkout",
        f"Checks: {told}",
        "Pictures in `figures`, tables in `tables`",
        "Again: `dvc repro`",
    )
    return "\n".join(f"- {line}" for line in lines)


def _text(value: object) -> str:
    """Return text without the characters that make markup."""
    return escape(str(value), quote=False).replace("[", "\\[").replace("`", "'")
