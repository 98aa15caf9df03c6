"""Stage `report`: one HTML page, the same in Markdown, and the tables and lines behind them."""

from __future__ import annotations

from lossatlas.files import write_text
from lossatlas.report.artefacts import read_results
from lossatlas.report.checks import read_checks
from lossatlas.report.claims import read_claims
from lossatlas.report.comparisons import compare_all
from lossatlas.report.images import read_images
from lossatlas.report.made import read_stages
from lossatlas.report.numbers import compare_parameters
from lossatlas.report.page import Material, render_markdown, render_page
from lossatlas.report.tables import draw_tables
from lossatlas.report.tabular import line_csv
from lossatlas.report.targets import load_targets
from lossatlas.stages.job import Job


def compute(job: Job) -> None:
    """Write the page from results, figures, checks and claims, and the numbers behind it.

    That is `report.html`, `report.md`, `tables/<id>.csv` and `.md`, and `lines/<name>.csv`, which `dvc plots` draws.
    """
    results, targets = read_results(job.settings, job.inputs), load_targets()
    judged = job.inputs["checks"]
    material = Material(
        results=results,
        images=read_images(job.inputs["figures"]),
        tables=list(draw_tables(results, targets)),
        checks=read_checks(judged),
        claims=read_claims(judged),
        comparisons=compare_all(results, targets),
        parameters=list(compare_parameters(results, targets)),
        stages=read_stages(job.inputs),
    )
    for table, _ in material.tables:
        write_text(job.out / "tables" / f"{table.id}.csv", table.csv())
        write_text(job.out / "tables" / f"{table.id}.md", table.markdown())
    (job.out / "lines").mkdir(exist_ok=True)
    for name, cut in results.lines.items():
        if cut.line is not None:
            write_text(job.out / "lines" / f"{name}.csv", line_csv(cut.line))
    write_text(job.out / "report.html", render_page(material))
    write_text(job.out / "report.md", render_markdown(material))
