"""Ensembles of one budget, of several and of growing size."""

import statistics

import numpy as np
import pytest

from ensembles.test_scores import draw
from lossatlas.ensembles.pooling import by_size, member_scores, one_budget, pooled
from lossatlas.ensembles.scores import average, calibration_error, disagreement, divergence, error, loss
from lossatlas.results import Predictions

BUDGET = [0, 0, 1, 2, 2, 2]


def predictions(budget=BUDGET, seed=0):
    probability, label = draw(len(budget), seed=seed)
    epoch = np.arange(len(budget))
    return Predictions(probability, label, np.array(budget), epoch, tuple(f"m{i}" for i in epoch))


def expected(found, members):
    mean = average(found.probability[members])
    values = error(mean, found.label), loss(mean, found.label), calibration_error(mean, found.label, bins=10)
    return dict(zip(("error", "loss", "calibration"), values, strict=True))


def test_each_budget_alone():
    found = predictions()
    alone = one_budget(found, bins=10)
    each = [expected(found, members) for members in ([0, 1], [2], [3, 4, 5])]
    assert alone["errors"] == [scores["error"] for scores in each]
    assert alone["losses"] == [scores["loss"] for scores in each]
    assert alone["calibration"] == [scores["calibration"] for scores in each]
    assert alone["mean"] == pytest.approx(statistics.mean(alone["errors"]))
    assert alone["spread"] == pytest.approx(statistics.stdev(alone["errors"]))


def test_a_single_budget_has_no_spread():
    alone = one_budget(predictions([0, 0]), bins=10)
    assert alone["spread"] is None and alone["mean"] == alone["errors"][0]


def test_pooled_budgets_hold_all_their_members():
    found = predictions()
    rows = pooled(found, bins=10)
    assert [(row["budgets"], row["members"]) for row in rows] == [(1, 2), (2, 3), (3, 6)]
    for row, members in zip(rows, ([0, 1], [0, 1, 2], range(6)), strict=True):
        assert {key: row[key] for key in ("error", "loss", "calibration")} == expected(found, list(members))
        assert row["disagreement"] == disagreement(found.probability[list(members)])
        assert row["divergence"] == divergence(found.probability[list(members)])


def test_growing_ensembles_take_the_first_budgets_members_in_order():
    found = predictions([0, 0, 0, 1])
    rows = by_size(found, bins=10)
    assert [row["members"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert {key: row[key] for key in ("error", "loss", "calibration")} == expected(
            found, list(range(row["members"]))
        )


def test_the_ways_to_the_same_ensemble_agree_to_the_last_bit():
    found = predictions()
    first = pooled(found, bins=10)[0]
    assert first["error"] == one_budget(found, bins=10)["errors"][0] == by_size(found, bins=10)[-1]["error"]
    assert first["loss"] == one_budget(found, bins=10)["losses"][0] == by_size(found, bins=10)[-1]["loss"]


def test_one_member_per_budget_has_its_own_scores_and_no_diversity_at_first():
    found = predictions([0, 1])
    alone, members = one_budget(found, bins=10), member_scores(found)
    assert alone["errors"] == [each["error"] for each in members]
    assert alone["losses"] == [each["loss"] for each in members]
    rows = pooled(found, bins=10)
    assert rows[0]["disagreement"] is None and rows[0]["divergence"] is None
    assert rows[1]["disagreement"] > 0 and rows[1]["divergence"] > 0
