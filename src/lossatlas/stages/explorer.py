"""Stage `explorer`: every surface, to turn and compare in a browser."""

from __future__ import annotations

from lossatlas.files import write_text
from lossatlas.report.artefacts import read_results
from lossatlas.report.explorer.page import render_explorer
from lossatlas.stages.job import Job


def compute(job: Job) -> None:
    """Write `explorer.html`, which holds its data and Plotly and opens without a network."""
    write_text(job.out / "explorer.html", render_explorer(read_results(job.settings, job.inputs)))
