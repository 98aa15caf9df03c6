import math

import pytest
import torch
from torch.nn import functional

from landscape.cases import small_model
from lossatlas.landscape.cosines import random_cosines
from lossatlas.landscape.directions import normalize_like
from lossatlas.randomness import generator


def weights(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def test_gaussian_directions_follow_the_formula():
    state = {"conv.weight": weights(8, 6, 3, 3), "linear.weight": weights(4, 50)}
    found = random_cosines(state, pairs=400, seed=0)
    assert (found.dimensions, found.pairs) == (632, 400)
    assert found.expected == pytest.approx(math.sqrt(2 / (math.pi * 632)))
    assert abs(found.mean - found.expected) < 4 * found.standard_error
    # the absolute value of a normal number has the variance (1 - 2 / pi) of its square's mean
    assert found.standard_error == pytest.approx(math.sqrt((1 - 2 / math.pi) / 632 / 400), rel=0.15)


@pytest.mark.parametrize(("shape", "expected"), [((1, 1), 1.0), ((1, 2), 2 / math.pi), ((1, 3), 0.5)])
def test_closed_forms_in_few_dimensions(shape, expected):
    found = random_cosines({"weight": weights(*shape)}, pairs=500, seed=1)
    assert abs(found.mean - expected) <= 4 * found.standard_error + 1e-12


def test_filters_of_one_norm_lose_no_dimensions():
    weight = functional.normalize(weights(20, 30), dim=1)
    found = random_cosines({"weight": weight}, pairs=300, seed=0)
    assert found.effective_dimensions == pytest.approx(600, rel=1e-12)
    assert abs(found.filter_normalized_mean - found.expected) < 4 * found.filter_normalized_standard_error


def test_one_large_filter_leaves_its_own_dimensions():
    weight = weights(10, 40)
    weight[0] *= 1e4
    found = random_cosines({"weight": weight}, pairs=300, seed=0)
    assert found.effective_dimensions == pytest.approx(40, rel=1e-3)
    alone = math.sqrt(2 / (math.pi * 40))
    # the normal formula is 0.6 % above the truth in 40 dimensions
    assert abs(found.filter_normalized_mean - alone) < 4 * found.filter_normalized_standard_error + 0.01 * alone
    assert abs(found.mean - found.expected) < 4 * found.standard_error


def test_brute_force():
    state = {"a.weight": weights(3, 4), "b.weight": weights(2, 3, 3, 3, seed=1)}
    both = [[], []]
    for index in range(2):
        pair = [], []
        for name, weight in state.items():
            draws = generator(5, "cosines", index, name)
            for side in pair:
                side.append(torch.randn(weight.shape, generator=draws, dtype=torch.float64))
        for kind, normalization in enumerate(("none", "filter")):
            left, right = (
                torch.cat(
                    [normalize_like(d, w, normalization).flatten() for d, w in zip(s, state.values(), strict=True)]
                )
                for s in pair
            )
            both[kind].append(float(functional.cosine_similarity(left, right, 0).abs()))
    found = random_cosines(state, pairs=2, seed=5)
    assert found.mean == pytest.approx(sum(both[0]) / 2, rel=1e-12)
    assert found.filter_normalized_mean == pytest.approx(sum(both[1]) / 2, rel=1e-12)
    assert found.standard_error == pytest.approx(abs(both[0][0] - both[0][1]) / 2, rel=1e-9)


def test_biases_and_statistics_do_not_count():
    model = small_model()
    state = model.state_dict()
    few = {name: tensor for name, tensor in state.items() if tensor.dim() > 1}
    assert len(few) < len(state)
    found = random_cosines(state, pairs=3, seed=0)
    assert found == random_cosines(few, pairs=3, seed=0) != random_cosines(few, pairs=3, seed=1)
    assert found.dimensions == sum(p.numel() for p in model.parameters() if p.dim() > 1)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="pairs = 1 has no standard error"):
        random_cosines({"weight": weights(2, 2)}, pairs=1, seed=0)
    with pytest.raises(ValueError, match="no weights with more than one dimension"):
        random_cosines({"bias": weights(2)}, pairs=2, seed=0)
