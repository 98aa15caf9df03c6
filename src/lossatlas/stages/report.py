"""Stage `report`: one HTML page and the tables behind it."""

from __future__ import annotations

from lossatlas.files import write_text
from lossatlas.report.artefacts import read_results
from lossatlas.report.checks import read_checks
from lossatlas.report.claims import read_claims
from lossatlas.report.page import read_images, render_page
from lossatlas.report.tables import all_tables
from lossatlas.report.targets import load_targets
from lossatlas.stages.job import Job


def compute(job: Job) -> None:
    """Write `report.html` and `tables/<id>.csv` and `.md` from results, drawn figures, checks and claims."""
    results = read_results(job.settings, job.inputs)
    tables = all_tables(results, load_targets())
    for table in tables:
        write_text(job.out / "tables" / f"{table.id}.csv", table.csv())
        write_text(job.out / "tables" / f"{table.id}.md", table.markdown())
    images, judged = read_images(job.inputs["figures"]), job.inputs["checks"]
    checks, claims = read_checks(judged), read_claims(judged)
    page = render_page(results, images=images, tables=tables, checks=checks, claims=claims)
    write_text(job.out / "report.html", page)
