"""All published numbers of the three papers beside ours."""

from __future__ import annotations

from lossatlas.report.artefacts import Results
from lossatlas.report.comparison import Comparison
from lossatlas.report.comparisons_li import compare_li
from lossatlas.report.comparisons_modes import compare_garipov, compare_huang
from lossatlas.report.targets import Targets


def compare_all(results: Results, targets: Targets) -> list[Comparison]:
    """Return every published number, by paper."""
    return [*compare_li(results, targets), *compare_garipov(results, targets), *compare_huang(results, targets)]
