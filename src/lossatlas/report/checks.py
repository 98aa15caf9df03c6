"""Which expectations hold: the list that the report shows and that `check` fails on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lossatlas.files import read_json
from lossatlas.report.artefacts import Results
from lossatlas.report.checks_ensembles import check_connected, check_published_ensembles
from lossatlas.report.checks_planes import check_planes
from lossatlas.report.checks_runs import check_expected, check_finished, check_parameters, check_published
from lossatlas.report.claims import Claim
from lossatlas.report.numbers import Reproduced
from lossatlas.report.targets import Targets
from lossatlas.report.verdict import Check

GROUPS = {
    "finished": "Every planned run and ensemble is there; under the full protocol no run diverged",
    "parameters": "Networks have the published number of parameters",
    "complete": "Every point of a surface or curve is computed",
    "centre": "The centre of a surface is the checkpoint, evaluated on the surface's images",
    "checkpoint": "The centre of a surface on the whole training set is the loss that training reported",
    "published": "Results equal the published ones",
    "expected": "Results equal the committed ones of this preset",
}


def run_checks(results: Results, targets: Targets, *, expected: Mapping[str, Any] | None = None) -> list[Check]:
    """Return every check of a preset's results, grouped as in `GROUPS`.

    Args:
        results: what was computed.
        targets: the published numbers.
        expected: the committed values of the same preset, see `check_expected`.

    Raises:
        ValueError: `expected` belongs to another preset.
    """
    checks = [
        *check_finished(results),
        *check_parameters(results, targets),
        *check_planes(results),
        *check_connected(results),
        *check_published(results, targets),
        *check_published_ensembles(results, targets),
        *check_expected(results, expected),
    ]
    order = list(GROUPS)
    return sorted(checks, key=lambda check: order.index(check.group))


def checks_passed(checks: Sequence[Check]) -> bool:
    """Return whether no check fails and at least one holds: an empty list proves nothing."""
    verdicts = Counter(check.verdict for check in checks)
    return verdicts["fail"] == 0 and verdicts["pass"] > 0


def checks_record(
    checks: Sequence[Check],
    results: Results,
    *,
    claims: Sequence[Claim] = (),
    numbers: Sequence[Reproduced] = (),
) -> dict[str, Any]:
    """Return what `checks.json` holds: checks, overall verdict, claims, published numbers, errors for a later run.

    Claims are the papers' statements about any networks: whether they hold does not decide whether the checks pass.
    """
    runs = {
        name: {"test_error": run.final("test_error"), "initial_train_loss": run.initial_loss}
        for name, run in results.runs.items()
    }
    return {
        "preset": results.preset,
        "regime": results.regime,
        "passed": checks_passed(checks),
        "checks": [asdict(check) for check in checks],
        "claims": [asdict(claim) for claim in claims],
        "numbers": [asdict(number) for number in numbers],
        "runs": runs,
    }


def read_checks(path: Path) -> list[Check]:
    """Read the checks of a `checks.json`.

    Raises:
        ValueError: the file is cut off or does not hold a list of checks.
    """
    try:
        return [Check(**record) for record in read_json(path)["checks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no readable list of checks ({error!r}); run `dvc repro` to make it anew"
        ) from error
