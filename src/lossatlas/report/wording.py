"""How the report words numbers and regimes."""

from __future__ import annotations

import math

from lossatlas.report.artefacts import Regime, Results, Run
from lossatlas.report.catalogue import test_error_address, title_of
from lossatlas.report.targets import Published, Targets

NOT_RUN = "not run"
DIVERGED = "diverged"
DAGGER_NOTE = (
    "† known from the publication's figure captions or its authors' repository, not from the source documents "
    "of this project."
)
REGIMES: dict[Regime, str] = {
    "embedded": (
        "Embedded data: a small data set that comes with a library stands in for the papers' images. Published "
        "values are shown beside ours, never compared as numbers; no claim of a paper is judged here. Where "
        "values of this preset are committed, the checks compare with those."
    ),
    "shortened": (
        "Shortened: the papers' images with shorter schedules, fewer images or fewer grid points. Published values are "
        "shown beside ours, never compared as numbers."
    ),
    "full": "Full protocol on the papers' data: the checks compare our numbers with the published ones.",
}


def percent(fraction: float | None) -> str:
    """Return an error, a fraction, as percent with two digits."""
    return "–" if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.2f} %"


def nats(loss: float | None) -> str:
    """Return a loss with three significant digits."""
    return "–" if loss is None or not math.isfinite(loss) else f"{loss:.3g}"


def published_percent(published: Published | None) -> str:
    """Return a published error, in percent, with its spread and its mark."""
    if published is None:
        return "–"
    spread = "" if published.spread is None else f" ± {published.spread:g}"
    return f"{published.value:.2f}{spread} %{published.mark}"


def published_error(run: str, results: Results, targets: Targets) -> Published | None:
    """Return the published test error of a run, for the classes and settings it was trained with where it was."""
    done = results.runs.get(run)
    classes = int(done.info.get("num_classes", 10)) if done else 10
    address = test_error_address(run, classes=classes, train=done.train if done else None)
    return None if address is None else targets.find(address)


def outcome(run: Run | None) -> str:
    """Return our test error of a run, or that it diverged or was not run."""
    if run is None:
        return NOT_RUN
    return DIVERGED if run.diverged else percent(run.final("test_error"))


def run_title(run: str, results: Results) -> str:
    """Return the papers' name of a run's network; for other runs the title that the preset gives."""
    title = title_of(run)
    return title if title != run else str(results.planned_runs.get(run, {}).get("title") or run)
