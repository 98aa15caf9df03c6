import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lossatlas.shape.ranks import rank_correlation, spearman


def test_spearman_by_hand():
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
    found = rank_correlation([10, 20, 30, 40, 50], [0.2, 0.1, 0.4, 0.3, 0.5])
    assert (found["spearman"], found["runs"]) == (pytest.approx(0.8), 5)
    # of the 120 orders, those with a sum of squared differences up to 4 or from 36 on
    squares = [sum((a - b) ** 2 for a, b in enumerate(order)) for order in itertools.permutations(range(5))]
    assert found["p_value"] == pytest.approx(sum(s <= 4 or s >= 36 for s in squares) / 120)


def test_spearman_with_ties_and_infinities():
    # ranks 1 2.5 2.5 4 against 1 2 3 4
    found = rank_correlation([1, math.inf, math.inf, 3, math.nan][::-1], [4, 3, 2, 1, 7][::-1])
    assert found["runs"] == 4
    # ranks 1 3.5 3.5 2 against 4 3 2 1: covariance of ranks over the product of their spreads
    expected = np.corrcoef([1, 3.5, 3.5, 2], [4, 3, 2, 1])[0, 1]
    assert found["spearman"] == pytest.approx(expected)


def test_three_runs_in_order_prove_little():
    found = rank_correlation([1, 2, 3], [0.3, 0.2, 0.1])
    assert found == {"spearman": pytest.approx(-1), "runs": 3, "p_value": pytest.approx(2 / 6)}


def test_many_runs_have_scipys_p_value():
    draws = np.random.default_rng(0)
    x = draws.normal(size=20)
    y = x + draws.normal(size=20)
    found = rank_correlation(x, y)
    reference = stats.spearmanr(x, y)
    assert found["spearman"] == pytest.approx(reference.statistic)
    assert found["p_value"] == pytest.approx(reference.pvalue)
    # at the change from one to the other the two agree roughly
    exact, approximate = rank_correlation(x[:8], y[:8]), stats.spearmanr(x[:8], y[:8])
    assert exact["spearman"] == pytest.approx(approximate.statistic)
    assert exact["p_value"] == pytest.approx(approximate.pvalue, abs=0.02)


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, math.nan], [1, 1, 1, 1]])
def test_too_few_runs_or_no_order_have_no_correlation(values):
    found = rank_correlation(values, [0.1 * i for i in range(len(values))])
    assert math.isnan(found["spearman"]) and math.isnan(found["p_value"])
    assert found["runs"] == sum(not math.isnan(v) for v in values)


def test_spearman_alone():
    draws = np.random.default_rng(0)
    first, second = draws.integers(0, 5, 12).tolist(), draws.normal(size=12).tolist()
    assert spearman(first, second) == pytest.approx(float(stats.spearmanr(first, second).statistic))
    assert spearman([1, 2, math.inf], [1, 2, 3]) == 1
    assert spearman([1, 2, math.nan, 4], [1, 2, 9, 3]) == pytest.approx(1)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([], []) is None


@pytest.mark.parametrize(
    ("order", "correlation"),
    [
        ((1, 2, 4, 3), 0.8),
        ((1, 3, 2, 4), 0.8),
        ((4, 3, 1, 2), -0.8),
        ((2, 1, 4, 3), 0.6),
        ((1, 2, 4, 3, 5, 7, 6, 8), 1 - 4 / 84),
    ],
)
def test_a_simple_fraction_meets_a_threshold_that_is_typed(order, correlation):
    assert spearman(range(len(order)), order) == correlation


def test_every_order_of_eight_has_its_fraction():
    for order in itertools.islice(itertools.permutations(range(8)), 0, None, 97):
        squares = sum((a - b) ** 2 for a, b in enumerate(order))
        assert spearman(range(8), order) == (84 - squares) / 84
