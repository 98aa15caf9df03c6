"""Stage `figures`: draw every figure of the report."""

from __future__ import annotations

from lossatlas.files import write_bytes, write_json
from lossatlas.report.artefacts import read_results
from lossatlas.report.figures.gallery import draw_gallery
from lossatlas.report.figures.style import png
from lossatlas.report.targets import load_targets
from lossatlas.stages.job import Job


def compute(job: Job) -> None:
    """Write `figures/<id>.png` and their index `figures/figures.json`."""
    results = read_results(job.settings, job.inputs)
    index = []
    for drawing in draw_gallery(results, load_targets()):
        file = f"{drawing.id}.png"
        write_bytes(job.out / "figures" / file, png(drawing.figure))
        entry = {"id": drawing.id, "title": drawing.title, "caption": drawing.caption, "paper": drawing.paper}
        index.append(entry | {"file": file})
    write_json(job.out / "figures" / "figures.json", index)
