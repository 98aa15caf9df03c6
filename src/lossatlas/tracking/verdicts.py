"""The verdicts in a report's list of checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {
    "passed": {"passed", "pass", "ok", "true"},
    "failed": {"failed", "fail", "false"},
    "not_run": {"not run", "not_run", "missing", "skipped"},
}


def verdicts(value: Any) -> Iterator[str]:
    """Yield `passed`, `failed` or `not_run` for each check in a list or (nested) mapping of checks."""
    if isinstance(value, Mapping):
        if "checks" in value:
            yield from verdicts(value["checks"])
            return
        own = next((value[word] for word in ("verdict", "status", "passed") if word in value), None)
        for item in value.values() if own is None else (own,):
            yield from verdicts(item)
    elif isinstance(value, list):
        for item in value:
            yield from verdicts(item)
    else:
        yield from (verdict for verdict, words in WORDS.items() if str(value).lower() in words)
