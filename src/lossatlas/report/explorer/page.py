"""The explorer as one HTML file: data, program and Plotly inside, nothing fetched."""

from __future__ import annotations

import json
from pathlib import Path

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import FIGURE1
from lossatlas.report.explorer.entries import Entry, entries
from lossatlas.report.wording import REGIMES

HERE = Path(__file__).parent
TEMPLATE, PROGRAM = HERE / "explorer.html.j2", HERE / "explorer.js"


def script_json(content: object) -> str:
    """Return JSON that may stand in a script element: no text in it can end the element."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True, allow_nan=False).replace("<", "\\u003c")


def _first(found: list[Entry]) -> list[str]:
    """Return the two surfaces that are shown at first: those of Figure 1 of Li et al. where they are there."""
    names = [entry["id"] for entry in found]
    wanted = [f"plane/{run}" for run in FIGURE1 if f"plane/{run}" in names]
    return [*wanted, *(name for name in names if name not in wanted)][:2]


def render_explorer(results: Results, *, library: str | None = None) -> str:
    """Return the explorer of all surfaces of a report; equal inputs give equal text.

    Args:
        results: what was computed.
        library: plotly.js; the one that Plotly brings along if absent.
    """
    from jinja2 import Environment, StrictUndefined

    if library is None:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

        library = get_plotlyjs()
    found = entries(results)
    content = {"entries": found, "first": _first(found)}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text()).render(
        results=results,
        regime=REGIMES[results.regime],
        count=len(found),
        content=script_json(content),
        program=PROGRAM.read_text(),
        library=library,
    )
    return page.rstrip() + "\n"
