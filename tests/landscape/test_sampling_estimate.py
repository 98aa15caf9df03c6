import itertools
import math

import numpy as np
import pytest

from lossatlas.landscape.sampling_estimate import Controls, cross_fitted, fitted

BILINEAR = np.array([0.4, 0.3, 0.2, 0.1])


def population(n, *, noise=0.3, seed=0, corners=4):
    """Losses of n images at corners and at a point between, which is no interpolation of them."""
    draws = np.random.default_rng(seed)
    size = draws.gamma(1.0, size=(n, 1))
    values = size * (1 + noise * draws.standard_normal((n, corners)))
    losses = values @ draws.dirichlet(np.ones(corners)) * 1.2 + noise * size[:, 0] * draws.standard_normal(n)
    return values, losses


def cell(values, sample, *, weights=None, inner=0):
    """The controls of a cell whose corners are known for all the images of `values`."""
    weights = np.full(values.shape[1], 1 / values.shape[1]) if weights is None else weights
    means, squares = values.mean(0), (values**2).mean(0)
    return Controls(values[:sample], weights, len(values), means, squares, values[: inner or None].mean(0))


@pytest.mark.parametrize("n", [16, 33, 200])
def test_a_full_sample_is_the_exact_mean(n):
    values, losses = population(n)
    found = cross_fitted(losses, [cell(values, n, weights=BILINEAR)])
    assert found.mean == pytest.approx(losses.mean(), rel=1e-13)
    assert found.se == 0 and found.images == n


def test_interpolation_that_is_exact_leaves_no_error():
    values, _ = population(500)
    losses = values @ BILINEAR + 3
    found = cross_fitted(losses[:64], [cell(values, 64, weights=BILINEAR)])
    assert found.mean == pytest.approx(losses.mean(), rel=1e-12)
    assert found.se < 1e-12


def test_weights_are_those_of_interpolation_unless_the_sample_says_otherwise():
    values, losses = population(4000, noise=0.5)
    np.testing.assert_allclose(fitted(values, values @ BILINEAR, BILINEAR), BILINEAR, atol=1e-12)
    # many images: least squares
    inputs = values - values.mean(0)
    squares = np.linalg.lstsq(inputs, losses - losses.mean(), rcond=None)[0]
    np.testing.assert_allclose(fitted(values, losses, BILINEAR), squares, atol=0.02)
    # few that are all noise: near the factor and the weights of interpolation
    few = fitted(values[:8], losses[:8] + 100 * np.random.default_rng(1).standard_normal(8), BILINEAR)
    assert np.abs(few - BILINEAR).max() < 1.5


def orders(n, k):
    """All orders of n images, as far as the halves of the first k of them can tell, with the images that follow."""
    for chosen in itertools.combinations(range(n), k):
        rest = [i for i in range(n) if i not in chosen]
        for half in itertools.combinations(chosen, k // 2):
            other = [i for i in chosen if i not in half]
            yield [i for pair in zip(half, other, strict=True) for i in pair], rest


def test_all_orders_of_a_small_population_have_the_exact_mean_on_average():
    values, losses = population(8, corners=2)
    found = []
    for first, rest in orders(8, 4):
        order = first + rest
        found.append(cross_fitted(losses[first], [cell(values[order], 4)]).mean)
    assert np.std(found) > 0.01
    assert np.mean(found) == pytest.approx(losses.mean(), rel=1e-12)


def test_two_levels_have_the_exact_mean_on_average_too():
    far, losses = population(7, corners=2)
    near = np.stack([losses, losses**2], axis=1) + np.random.default_rng(3).standard_normal((7, 2)) / 10
    found = []
    for first, rest in orders(7, 4):
        for sixth in rest:
            order = [*first, sixth, *(i for i in rest if i != sixth)]
            known = order[:5]
            cells = [cell(far[order], 4, inner=5), cell(near[known], 4)]
            found.append(cross_fitted(losses[first], cells).mean)
    assert np.std(found) > 0.01
    assert np.mean(found) == pytest.approx(losses.mean(), rel=1e-12)


def drawn(values, losses, n, m=None, times=4000, near=None):
    """Estimates over random orders."""
    draws = np.random.default_rng(0)
    for _ in range(times):
        order = draws.permutation(len(losses))[: m or n]
        means, squares = values.mean(0), (values**2).mean(0)
        cells = [Controls(values[order[:n]], BILINEAR, len(losses), means, squares, values[order].mean(0))]
        if near is not None:
            cells.append(cell(near[order], n))
        yield cross_fitted(losses[order[:n]], cells)


def test_the_variance_is_that_of_many_orders():
    values, losses = population(300, noise=0.2)
    found = list(drawn(values, losses, 120))
    spread = np.std([one.mean for one in found])
    # the variance is taken a standard error above its estimate, and the factor for large values adds a little
    assert spread < np.mean([one.se for one in found]) < 1.3 * spread
    assert abs(np.mean([one.mean for one in found]) - losses.mean()) < 4 * spread / math.sqrt(len(found))


def test_the_variance_of_two_levels_is_that_of_many_orders():
    values, losses = population(600, noise=0.3)
    near = losses[:, None] * (1 + 0.05 * np.random.default_rng(5).standard_normal((600, 4)))
    found = list(drawn(values, losses, 64, 200, near=near, times=2000))
    spread = np.std([one.mean for one in found])
    assert spread < np.mean([one.se for one in found]) < 1.3 * spread
    assert np.mean([one.floor for one in found]) > 0.5 * spread**2
    assert abs(np.mean([one.mean for one in found]) - losses.mean()) < 4 * spread / math.sqrt(len(found))


def test_a_sample_without_the_large_losses_is_trusted_less():
    values, losses = population(1000)
    order = np.argsort(values.sum(1))  # the small ones first
    poor = cross_fitted(losses[order[:64]], [cell(values[order], 64)])
    plain = cross_fitted(losses[order[:64]], [cell(values[order[:64]], 64)])
    assert poor.variance > 2 * plain.variance


def test_what_a_sample_does_not_show_may_still_be():
    right = np.ones((400, 4))
    found = cross_fitted(np.ones(64), [cell(right, 64)], least=1.0)
    assert found.mean == 1 and found.se == pytest.approx(
        math.sqrt(1 / 62 * (1 + math.sqrt(63 / 64)) * (1 / 64 - 1 / 400))
    )
