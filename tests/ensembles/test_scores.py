"""Numbers of averaged probabilities against hand computations, brute force and what must hold of any."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lossatlas.ensembles.scores import (
    SMALLEST,
    average,
    calibration_error,
    disagreement,
    divergence,
    error,
    loss,
    score,
)

# two members, three examples, two classes
TWO = np.array([[[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], [[0.25, 0.75], [0.25, 0.75], [0.25, 0.75]]], np.float32)
LABEL = np.array([0, 1, 1])


def draw(members, n=40, classes=5, seed=0, sharpness=3.0):
    """Members that have learnt something: random logits, larger at the label."""
    draws = np.random.default_rng(seed)
    label = draws.integers(classes, size=n)
    logits = sharpness * draws.normal(size=(members, n, classes))
    logits[:, np.arange(n), label] += sharpness
    shifted = np.exp(logits - logits.max(axis=2, keepdims=True))
    return (shifted / shifted.sum(axis=2, keepdims=True)).astype(np.float32), label


def test_average_by_hand():
    np.testing.assert_array_equal(average(TWO), [[0.5, 0.5], [0.375, 0.625], [0.25, 0.75]])
    assert average(TWO).dtype == np.float64


def test_error_and_loss_by_hand():
    assert error(TWO[0], LABEL) == 1 / 3  # of the two equal classes of the second example the first is taken
    assert error(TWO[1], LABEL) == 1 / 3  # only the first example is wrong
    assert error(average(TWO), LABEL) == 0  # together they have none: the tie of the first example is for class 0
    assert loss(average(TWO), LABEL) == pytest.approx(-(math.log(0.5) + math.log(0.625) + math.log(0.75)) / 3)
    assert loss(TWO[0], LABEL) == pytest.approx(-(2 * math.log(0.75) + math.log(0.5)) / 3)


def test_a_class_held_impossible_costs_87_nats_and_a_certain_one_none():
    certain = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    assert loss(certain, np.array([0, 0])) == 0
    assert loss(certain, np.array([0, 1])) == -math.log(SMALLEST) / 2 == pytest.approx(87.3365 / 2, abs=1e-4)


def test_calibration_error_by_hand():
    # confidences 0.9, 0.8 (right, wrong) and 0.6, 0.6 (right, right), in bins of width 0.25
    mean = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    label = np.array([0, 1, 1, 1])
    expected = 2 / 4 * abs(1 / 2 - 0.85) + 2 / 4 * abs(1 - 0.6)
    assert calibration_error(mean, label, bins=4) == pytest.approx(expected)
    # in one bin: accuracy 3/4, mean confidence 0.725
    assert calibration_error(mean, label, bins=1) == pytest.approx(0.025)


def test_a_confidence_at_the_edge_of_two_bins_is_in_the_lower_one():
    # 0.5 ends the first of two bins: it shares it with 0.4 and not with 0.9
    mean = np.array([[0.5, 0.25, 0.25], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0]])
    label = np.array([0, 1, 0])  # right, wrong, right
    assert calibration_error(mean, label, bins=2) == pytest.approx((abs(1 - 0.9) + abs(1 - 0.9)) / 3)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0]), bins=15) == 0


@pytest.mark.parametrize("bins", [1, 2, 7, 15, 100])
def test_calibration_error_by_brute_force(bins):
    probability, label = draw(1, n=200, seed=bins)
    mean = probability[0].astype(np.float64)
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i in range(200) if (m - 1) / bins < mean[i].max() <= m / bins]
        if inside:
            accuracy = np.mean([mean[i].argmax() == label[i] for i in inside])
            total += len(inside) / 200 * abs(accuracy - np.mean([mean[i].max() for i in inside]))
    assert calibration_error(mean, label, bins=bins) == pytest.approx(total, abs=1e-12)


def test_without_bins_there_is_no_calibration_error():
    with pytest.raises(ValueError, match="bins = 0 is impossible; it must be at least 1"):
        calibration_error(TWO[0], LABEL, bins=0)


def test_disagreement_by_hand():
    # classes 0, 0, 1 and 1, 1, 1: two of three differ
    assert disagreement(TWO) == pytest.approx(2 / 3)
    three = np.concatenate([TWO, TWO[1:]])
    assert disagreement(three) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("members", [2, 3, 7])
def test_disagreement_by_brute_force_over_all_pairs(members):
    probability, _ = draw(members, seed=members)
    classes = probability.argmax(axis=2)
    pairs = [np.mean(a != b) for a, b in itertools.combinations(classes, 2)]
    assert disagreement(probability) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_divergence_by_hand():
    # the first example: both members are (3/4, 1/4) and (1/4, 3/4), their mean (1/2, 1/2)
    one = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert divergence(TWO[:, :1]) == pytest.approx(one, abs=1e-12)
    assert divergence(TWO[:, 2:]) == 0  # equal members


def test_divergence_is_the_entropy_of_the_average_less_the_average_entropy():
    probability, _ = draw(4, seed=2)
    # rows that sum to exactly 1 up to float64: otherwise the two formulas differ by the rounding to float32
    exact = probability.astype(np.float64)
    exact /= exact.sum(axis=2, keepdims=True)

    def entropy(p):
        return float(-(p * np.log(p)).sum(axis=-1).mean())

    expected = entropy(exact.mean(axis=0)) - np.mean([entropy(member) for member in exact])
    assert divergence(exact) == pytest.approx(expected, abs=1e-12)


def test_members_that_exclude_each_other_diverge_by_the_log_of_their_number():
    probability = np.eye(3, dtype=np.float32)[:, None, :]
    assert divergence(probability) == pytest.approx(math.log(3), abs=1e-12)
    assert disagreement(probability) == 1


def test_one_member_has_no_diversity_and_is_its_own_average():
    probability, label = draw(1)
    assert disagreement(probability) is None and divergence(probability) is None
    np.testing.assert_array_equal(average(probability), probability[0])
    assert score(average(probability), label) == score(probability[0].astype(np.float64), label)


def test_no_members_have_no_average():
    with pytest.raises(ValueError, match="there are no members to average"):
        average(np.zeros((0, 2, 3), np.float32))


# values of very different size, whose sums depend on their order if it is not fixed; equal ones for ties
anything = hnp.arrays(
    np.float32, st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(2, 4)), elements=st.floats(0, 1, width=32)
)


@settings(max_examples=60)
@given(anything, st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter_to_the_last_bit(probability, random):
    order = list(range(len(probability)))
    random.shuffle(order)
    label = np.arange(probability.shape[1]) % probability.shape[2]
    other = probability[order]
    assert average(other).tobytes() == average(probability).tobytes()
    assert score(average(other), label) == score(average(probability), label)
    assert disagreement(other) == disagreement(probability)
    assert divergence(other) == divergence(probability)


def test_the_order_would_matter_if_sums_were_not_sorted():
    column = np.array([1.0, 2.0**-53, 2.0**-53], np.float64)[:, None, None]
    assert column.mean(axis=0) != column[::-1].mean(axis=0)  # what the test above would find
    assert average(column) == average(column[::-1])


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_an_ensembles_loss_is_at_most_the_mean_of_its_members(members, seed):
    probability, label = draw(members, n=10, seed=seed)
    alone = np.mean([loss(member, label) for member in probability])
    # Jensen's inequality; equal members give equality, up to rounding
    assert loss(average(probability), label) <= alone * (1 + 1e-12)


def test_diversity_bounds():
    for seed in range(5):
        probability, _ = draw(5, seed=seed)
        assert 0 <= disagreement(probability) <= 1
        assert 0 <= divergence(probability) <= math.log(5)


def test_scores_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; import lossatlas.ensembles.scores, lossatlas.ensembles.pooling"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
