"""Stage `check`: compare results with what is published, committed or known in advance."""

from __future__ import annotations

from pathlib import Path

from lossatlas.files import read_json, write_json
from lossatlas.report.artefacts import read_results
from lossatlas.report.checks import checks_record, run_checks
from lossatlas.report.claims import decide_claims
from lossatlas.report.numbers import compare_numbers
from lossatlas.report.targets import load_targets
from lossatlas.stages.job import Job


def compute(job: Job) -> None:
    """Write `checks.json`; checks and claims that do not hold are recorded there, they do not stop the stage.

    `places["expected"]` names the file of committed values of the preset, where there is one.
    """
    results = read_results(job.settings, job.inputs)
    expected = job.places.get("expected")
    values = read_json(Path(expected)) if expected else None
    checks = run_checks(results, load_targets(), expected=values)
    claims = decide_claims(results, load_targets())
    numbers = compare_numbers(results, load_targets())
    write_json(job.out / "checks.json", checks_record(checks, results, claims=claims, numbers=numbers))
