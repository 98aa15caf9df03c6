"""The words below each figure, with the numbers that the results give."""

from __future__ import annotations

from collections.abc import Sequence

from lossatlas.report.artefacts import Results
from lossatlas.report.figures.details import training
from lossatlas.report.figures.heading import LI
from lossatlas.report.figures.words import ERRORS, FIGURES
from lossatlas.report.targets import Targets
from lossatlas.report.wording import DAGGER_NOTE, published_error


def caption(identifier: str, results: Results, targets: Targets, *, runs: Sequence[str], details: Sequence[str]) -> str:
    """Return a figure's caption.

    Args:
        identifier: a key of `FIGURES`.
        results: what was computed.
        targets: the published numbers.
        runs: the runs whose numbers the figure shows.
        details: sentences with numbers, after the opening.
    """
    words = FIGURES[identifier]
    sentences = [words.opening, *details]
    if words.paper and words.source == LI:
        sentences += training(runs, results, targets)
    if words.errors:
        sentences.append(ERRORS)
    data = sorted({results.title_of_data(run) for run in runs} - {""})
    if data:
        sentences.append(f"Our data: {', '.join(data)}.")
    marks = [number for run in runs if (number := published_error(run, results, targets)) and number.mark]
    if words.errors and marks:
        sentences.append(DAGGER_NOTE)
    return " ".join(sentences)
