"""The results as Markdown: the targets first, then a table for each part. Every number comes from the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from targets import TARGETS, value_at

_NOT = "not measured"


def number(value: Any) -> str:
    """Return a value as text, numbers with four digits."""
    if value is None:
        return _NOT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    if isinstance(value, list):
        if any(isinstance(item, Mapping) for item in value):
            return f"{len(value)} entries in `bench.json`"
        return ", ".join(map(number, value))
    return str(value)


def _is_spread(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"median", "lowest", "highest", "rounds"}


def shown(value: Any) -> str:
    """Return a value, or a spread as median and extremes."""
    if _is_spread(value):
        return f"{number(value['median'])} ({number(value['lowest'])} to {number(value['highest'])})"
    return number(value)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _targets(results: Mapping[str, Any]) -> str:
    rows = []
    for target in TARGETS:
        value = value_at(results, target.path)
        middle = value["median"] if _is_spread(value) else value
        unit = f" {target.unit}" if target.unit else ""
        verdict = _NOT if not isinstance(middle, int | float) else "met" if target.met(middle) else "not met"
        text = _NOT if verdict == _NOT else shown(value) + unit
        rows.append([target.what, f"{target.relation} {number(target.bound)}{unit}", text, verdict])
    return table(["what", "target", "measured", "verdict"], rows)


def _rows(value: Any, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    if isinstance(value, Mapping) and not _is_spread(value):
        for name, item in value.items():
            yield from _rows(item, (*path, str(name)))
    else:
        yield [" / ".join(name.replace("_", " ") for name in path), shown(value)]


def markdown(results: Mapping[str, Any]) -> str:
    """Return the whole page."""
    parts = [
        "# Benchmarks",
        "Written by `make bench` from `bench.json`. Ratios compare values taken in turn in one run; a value is the "
        "median of all rounds, with the lowest and highest in brackets. The plain way is `benchmarks/plain.py`. "
        "Sampled planes are run once, beside other work or not, and their exact points are timed apart.",
        "## Targets",
        _targets(results),
    ]
    for name, part in results.items():
        facts = "; ".join(f"{fact.replace('_', ' ')} {shown(value)}" for fact, value in part.get("host", {}).items())
        rows = list(_rows({key: value for key, value in part.items() if key != "host"}))
        parts += [f"## {name}", *([f"Measured on: {facts}."] if facts else []), table(["measured", "value"], rows)]
    return "\n\n".join(parts) + "\n"
