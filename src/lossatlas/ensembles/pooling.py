"""Ensembles of one budget, of several pooled, and of growing size: arithmetic on the members' predictions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from lossatlas.ensembles.scores import Probabilities, average, disagreement, divergence, error, loss, score
from lossatlas.results import Integers, Predictions


def _of_budgets(predictions: Predictions, first: int, last: int) -> Probabilities:
    """Return the probabilities of all members of the budgets `first` to `last`."""
    chosen: Probabilities = predictions.probability[(first <= predictions.budget) & (predictions.budget <= last)]
    return chosen


def _budgets(predictions: Predictions) -> range:
    return range(int(predictions.budget.max()) + 1)


def _scores(probability: Probabilities, label: Integers, bins: int) -> dict[str, float]:
    return asdict(score(average(probability), label, bins=bins))


def member_scores(predictions: Predictions) -> list[dict[str, float]]:
    """Return `error` (fraction) and `loss` (nats per example) of each member alone."""
    label = predictions.label
    return [{"error": error(row, label), "loss": loss(row, label)} for row in predictions.probability]


def one_budget(predictions: Predictions, *, bins: int) -> dict[str, Any]:
    """Return what each budget gives on its own.

    Returns:
        `errors`, `losses` and `calibration` of the ensemble of each budget, and the errors' `mean` and `spread`: the
        sample standard deviation, None for a single budget.
    """
    found = [_scores(_of_budgets(predictions, i, i), predictions.label, bins) for i in _budgets(predictions)]
    errors = [each["error"] for each in found]
    return {
        "errors": errors,
        "losses": [each["loss"] for each in found],
        "calibration": [each["calibration"] for each in found],
        "mean": float(np.mean(errors)),
        "spread": float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
    }


def pooled(predictions: Predictions, *, bins: int) -> list[dict[str, Any]]:
    """Return what the first k budgets give together, for k = 1, 2, ...: all their members in one ensemble.

    Returns:
        For each k `budgets` (k), `members`, `error`, `loss`, `calibration`, and the `disagreement` and `divergence` of
        the members, None where there is a single one.
    """
    rows = []
    for last in _budgets(predictions):
        chosen = _of_budgets(predictions, 0, last)
        spread = {"disagreement": disagreement(chosen), "divergence": divergence(chosen)}
        sizes = {"budgets": last + 1, "members": len(chosen)}
        rows.append({**sizes, **_scores(chosen, predictions.label, bins), **spread})
    return rows


def by_size(predictions: Predictions, *, bins: int) -> list[dict[str, Any]]:
    """Return what the first m members of the first budget give together, for m = 1, 2, ..., in order of time."""
    first = _of_budgets(predictions, 0, 0)
    sizes = range(1, len(first) + 1)
    return [{"members": m, **_scores(first[:m], predictions.label, bins)} for m in sizes]
