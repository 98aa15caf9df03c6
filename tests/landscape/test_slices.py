import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import CLASSES, examples
from lossatlas.landscape.slices import (
    descend,
    full_condition,
    measured_curvatures,
    products,
    rounding_of,
    same_distribution,
    slice_conditions,
    slice_curvatures,
    small_network,
    spectrum,
    weighted_curvatures,
)
from lossatlas.randomness import generator

RTOL = 1e-10  # float64, sums in another order


def network(n=20, **options):
    return small_network(examples(n), **{"pool": 2, "hidden": 5, "classes": CLASSES} | options)


def quadratic(n, seed=0, shift=0.0):
    """The function w'Hw / 2 of a dense symmetric H, and H."""
    noise = torch.randn(n, n, generator=generator(seed, "test"), dtype=torch.float64)
    matrix = (noise + noise.T) / 2 + shift * torch.eye(n, dtype=torch.float64)
    return (lambda weights: weights @ matrix @ weights / 2), matrix


def test_the_network_is_the_usual_one_with_a_last_logit_of_zero():
    images, labels = examples(6)
    small = small_network((images, labels), pool=4, hidden=3, classes=CLASSES)
    grey = images.mean(1)
    # 2 x 2 blocks of an 8 x 8 image
    pooled = torch.stack([grey[:, i : i + 2, j : j + 2].mean((1, 2)) for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)], 1)
    torch.testing.assert_close(small.inputs, pooled, rtol=1e-13, atol=1e-14)
    model = nn.Sequential(nn.Linear(16, 3), nn.Tanh(), nn.Linear(3, CLASSES)).double()
    with torch.no_grad():
        model[2].weight[-1], model[2].bias[-1] = 0, 0
        parts = [torch.cat([layer.weight, layer.bias[:, None]], 1) for layer in (model[0], model[2])]
        weights = torch.cat([parts[0].flatten(), parts[1][:-1].flatten()])
        assert small.size == len(weights) == 17 * 3 + 4 * 3
        expected = functional.cross_entropy(model(pooled), labels)
        assert float(small.loss(weights)) == pytest.approx(float(expected), rel=RTOL)


def test_initial_weights_are_repeatable_and_sized_to_their_inputs():
    small = network(hidden=400, pool=8)
    first, other = small.initial(seed=0), small.initial(seed=1)
    assert first.shape == (small.size,) and torch.equal(first, small.initial(seed=0)) and not torch.equal(first, other)
    rows = first[: 65 * 400].view(400, 65)
    assert float(rows[:, :-1].std()) == pytest.approx(1 / 8, rel=0.05) and not rows[:, -1].any()


def test_spectrum_and_products_against_another_library():
    small = network()
    weights = small.initial(seed=0)
    dense = torch.autograd.functional.hessian(small.loss, weights)
    np.testing.assert_allclose(spectrum(small.loss, weights), torch.linalg.eigvalsh(dense), rtol=1e-8, atol=1e-13)
    vectors = torch.randn(70, small.size, generator=generator(0, "test"), dtype=torch.float64)
    torch.testing.assert_close(products(small.loss, weights, vectors), vectors @ dense, rtol=1e-9, atol=1e-12)


def test_descent_reaches_the_minimum_of_a_quadratic_and_nearly_one_of_the_network():
    loss, _ = quadratic(10, shift=8.0)
    start = torch.ones(10, dtype=torch.float64)
    assert float(descend(loss, start, steps=50).norm()) < 1e-8 and bool((start == 1).all())
    small = network()
    start = small.initial(seed=0)
    end = descend(small.loss, start, steps=200)
    slopes = [float(torch.func.grad(small.loss)(weights).norm()) for weights in (start, end)]
    assert slopes[1] < 1e-3 * slopes[0] and float(small.loss(end)) < 0.1 * float(small.loss(start))


def test_a_sphere_has_one_curvature():
    def loss(weights):
        return 1.5 * weights @ weights

    weights = torch.zeros(7, dtype=torch.float64)
    np.testing.assert_allclose(measured_curvatures(loss, weights, directions=5, seed=0), 3, rtol=1e-13)
    np.testing.assert_allclose(weighted_curvatures(np.full(7, 3.0), directions=5, seed=0), 3, rtol=1e-13)
    for values in slice_curvatures(loss, weights, slices=5, seed=0):
        np.testing.assert_allclose(values, 3, rtol=1e-13)


def test_measured_curvatures_are_averages_with_chi_square_weights():
    small = network()
    weights = small.initial(seed=0)
    eigenvalues = spectrum(small.loss, weights)
    measured = measured_curvatures(small.loss, weights, directions=1500, seed=0)
    weighted = weighted_curvatures(eigenvalues, directions=1500, seed=0)
    assert len(measured) == len(weighted) == 1500 and not np.allclose(np.sort(measured), np.sort(weighted))
    assert same_distribution(measured, weighted) > 1e-3
    error = measured.std() / np.sqrt(1500)
    assert abs(measured.mean() - eigenvalues.mean()) < 4 * error
    # other weights than chi-square of one degree of freedom, or another spectrum, are told apart
    uniform = np.random.default_rng(0).random((1500, len(eigenvalues)))
    assert same_distribution(measured, uniform @ eigenvalues / uniform.sum(1)) < 1e-6
    assert same_distribution(measured, weighted_curvatures(0.7 * eigenvalues, directions=1500, seed=0)) < 1e-6


@pytest.mark.parametrize("shift", [0.0, 2.0, -2.0])
def test_slices_lie_within_the_spectrum(shift):
    loss, matrix = quadratic(8, seed=1, shift=shift)
    low, high = slice_curvatures(loss, torch.zeros(8, dtype=torch.float64), slices=400, seed=0)
    values = torch.linalg.eigvalsh(matrix).numpy()
    assert (low >= values[0] - 1e-12).all() and (high <= values[-1] + 1e-12).all() and (low <= high).all()
    # Cauchy: the larger curvature is above the second smallest eigenvalue
    assert (high >= values[0]).all() and (low <= values[-2] + 1e-12).all() and (high >= values[1] - 1e-12).all()
    # the study has slices of both kinds, and those that are not convex prove a negative eigenvalue
    assert (low < 0).any() and values[0] < 0
    assert low.max() > low.min() + 0.5


def test_slices_of_a_plane_are_the_plane():
    loss, matrix = quadratic(2, seed=3)
    low, high = slice_curvatures(loss, torch.ones(2, dtype=torch.float64), slices=3, seed=0)
    expected = torch.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(low, float(expected[0]), rtol=1e-12)
    np.testing.assert_allclose(high, float(expected[1]), rtol=1e-12)


def test_condition_numbers():
    values = np.array([-4.0, 0.5, 8.0])
    assert full_condition(values) == pytest.approx(16, rel=1e-14)
    singular = np.array([0.0, 1.0])
    assert 1e15 < 1 / rounding_of(singular) == full_condition(singular)
    found = slice_conditions(np.array([-4.0, 1.0, 0.0]), np.array([2.0, 3.0, 1.0]))
    assert found.tolist() == [2.0, 3.0, np.inf]


def test_impossible_networks_are_refused():
    with pytest.raises(ValueError, match=r"pool = 9 with 4 classes is impossible for images of \(8, 8\) pixels"):
        network(pool=9)
    with pytest.raises(ValueError, match=r"pool = 2 with 1 classes is impossible"):
        network(classes=1)
