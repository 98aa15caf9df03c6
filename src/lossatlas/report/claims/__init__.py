"""The claims of the papers, each with a rule fixed in advance and the verdict that the results give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossatlas.files import read_json
from lossatlas.report.artefacts import Results
from lossatlas.report.claims import (
    architectures,
    connectivity,
    minimizers,
    paths,
    spectrum,
    symmetry,
    trainability,
    weights,
)
from lossatlas.report.claims.rule import VERDICTS, Claim, Number, Rule, judge
from lossatlas.report.targets import Targets

__all__ = ["PAPERS", "RULES", "VERDICTS", "Claim", "Number", "Rule", "decide_claims", "read_claims"]

PAPERS = ("li2018", "garipov2018")  # in order
THEMES = (minimizers, weights, architectures, spectrum, paths, trainability, symmetry, connectivity)
RULES: Mapping[str, Rule] = {rule.id: rule for theme in THEMES for rule in theme.RULES}


def decide_claims(results: Results, targets: Targets) -> list[Claim]:
    """Return every claim with its verdict, by paper, in the order of `targets.yaml`.

    Raises:
        KeyError: a claim has no rule.
    """
    return [
        replace(judge(RULES[claim["id"]], results, targets), paper=paper)
        for paper in PAPERS
        for claim in targets.content[paper]["claims"]
    ]


def read_claims(path: Path) -> list[Claim]:
    """Read the claims of a `checks.json`.

    Raises:
        ValueError: the file is cut off or does not hold a list of claims.
    """
    try:
        return [_claim(record) for record in read_json(path)["claims"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no readable list of claims ({error!r}); run `dvc repro` to make it anew"
        ) from error


def _claim(record: Mapping[str, Any]) -> Claim:
    numbers = tuple(Number(**number) for number in record["numbers"])
    return Claim(**{**record, "numbers": numbers, "shown": tuple(record["shown"])})
