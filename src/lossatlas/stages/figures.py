"""Stage `figures`: draw every figure of the report."""

from __future__ import annotations

from lossatlas.files import write_bytes, write_json
from lossatlas.progress import progress
from lossatlas.report.artefacts import read_results
from lossatlas.report.figures.gallery import ALWAYS, FURTHER, draw_gallery
from lossatlas.report.figures.style import png, svg
from lossatlas.report.targets import load_targets
from lossatlas.stages.job import Job

WORDS = ("id", "title", "caption", "paper", "how", "limits", "alt", "stages")


def compute(job: Job) -> None:
    """Write `figures/<id>.png`, `vector/<id>.svg` and the index `figures/figures.json`."""
    results = read_results(job.settings, job.inputs)
    index = []
    with progress("figures", len(ALWAYS) + len(FURTHER), unit="figures") as advance:
        for drawing in draw_gallery(results, load_targets()):
            file, vector = f"{drawing.id}.png", f"vector/{drawing.id}.svg"
            write_bytes(job.out / "figures" / file, png(drawing.figure))
            write_bytes(job.out / vector, svg(drawing.figure))
            index.append({name: getattr(drawing, name) for name in WORDS} | {"file": file, "vector": vector})
            advance(1)
    write_json(job.out / "figures" / "figures.json", index)
