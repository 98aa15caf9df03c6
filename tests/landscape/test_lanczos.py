import math

import numpy as np
import pytest
import torch

from lossatlas.landscape.lanczos import SMALL_END, _Krylov, allowed_residual, basis_size, both_ends


def matrix_with(values, seed=0):
    """A dense symmetric matrix of these eigenvalues, and the products with it, counted."""
    draws = np.random.default_rng(seed)
    q, _ = np.linalg.qr(draws.standard_normal((len(values), len(values))))
    matrix = torch.from_numpy(q * np.asarray(values) @ q.T)
    calls = []

    def product(v):
        calls.append(1)
        return matrix @ v

    return product, calls


def start(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bulk(n=300, *ends):
    """Many small eigenvalues about zero, a few large positive ones, and `ends`."""
    small = np.random.default_rng(1).standard_normal(n - len(ends) - 5) * 0.01
    return np.concatenate([small, np.linspace(5, 200, 5), ends])


@pytest.mark.parametrize("low", [-3.0, -50.0, -400.0])
@pytest.mark.parametrize("basis", [None, 24])
def test_both_ends_of_a_spectrum_with_a_bulk(low, basis):
    product, calls = matrix_with(bulk(300, low))
    found = both_ends(product, start(300), tolerance=1e-3, max_products=200, basis=basis)
    assert found.converged
    assert found.products == len(calls)
    # errors of isolated eigenvalues are squares of the residuals
    assert found.lambda_max == pytest.approx(200, rel=1e-6)
    assert found.lambda_min == pytest.approx(low, rel=1e-5)
    for vector, value, residual in zip(
        found.vectors, (found.lambda_max, found.lambda_min), (found.residual_max, found.residual_min), strict=True
    ):
        assert float(vector.norm()) == pytest.approx(1)
        assert residual == pytest.approx(float((product(vector) - value * vector).norm()), rel=1e-6, abs=1e-12)
    assert found.residual_min <= allowed_residual(found.lambda_min, found.lambda_max, 1e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_end_near_zero_is_found_to_within_what_the_other_allows(sign):
    values = np.concatenate([np.linspace(1e-5, 0.02, 290), np.linspace(5, 200, 10)])
    product, _ = matrix_with(sign * values)
    found = both_ends(product, start(300), tolerance=1e-3, max_products=150)
    small, large = (found.lambda_min, found.lambda_max) if sign > 0 else (found.lambda_max, found.lambda_min)
    assert found.converged
    assert large == pytest.approx(200 * sign, rel=1e-6)
    assert abs(small - sign * 1e-5) <= 1e-3 * SMALL_END * 200


def test_a_basis_with_restarts_gives_what_a_large_one_gives():
    # a uniform spectrum: the ends are close to their neighbours
    product, calls = matrix_with(np.linspace(-1, 2, 400))
    whole = both_ends(product, start(400), tolerance=1e-8, max_products=400)
    before = len(calls)
    restarted = both_ends(product, start(400), tolerance=1e-8, max_products=2000, basis=24)
    # at least five restarts, each of which adds half a basis
    assert len(calls) - before > 24 + 5 * 12
    assert whole.converged
    assert restarted.converged
    assert restarted.lambda_max == pytest.approx(whole.lambda_max, rel=1e-12)
    assert restarted.lambda_min == pytest.approx(whole.lambda_min, rel=1e-12)


@pytest.mark.parametrize("basis", [None, 24])
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_residuals_and_values_hold_for_products_that_are_not_symmetric(basis, noise):
    exact, _ = matrix_with(np.linspace(-1, 2, 300))
    draws = np.random.default_rng(5).standard_normal((300, 300)) / 300**0.5
    rough = torch.from_numpy(draws) * noise
    calls = []

    def product(v):
        calls.append(1)
        return exact(v) + rough @ v

    found = both_ends(product, start(300), tolerance=3e-3, max_products=120, basis=basis)
    assert basis is None or len(calls) > 2 * basis
    values, rests = (found.lambda_max, found.lambda_min), (found.residual_max, found.residual_min)
    for value, residual, vector in zip(values, rests, found.vectors, strict=True):
        image = product(vector)
        true = float((image - value * vector).norm())
        if basis is None:
            assert float(vector @ image) == pytest.approx(value, abs=1e-12)
            assert residual == pytest.approx(true, abs=1e-12)
        else:
            # a bound, which is off by no more than the asymmetry that restarts have seen
            assert true <= residual + 1e-12
            assert residual <= true + 20 * noise + 1e-12
    assert found.converged


@pytest.mark.parametrize("basis", [None, 24])
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_the_basis_stays_orthonormal(basis, noise):
    exact, _ = matrix_with(bulk(300, -50.0))
    rough = torch.from_numpy(np.random.default_rng(5).standard_normal((300, 300))) * noise
    space = _Krylov(start(300) / start(300).norm(), basis or 200)
    for _ in range(200):
        space.grow(lambda v: exact(v) + rough @ v)
    found = space._space[: space._count]
    torch.testing.assert_close(found @ found.T, torch.eye(space._count, dtype=torch.float64), rtol=0, atol=1e-12)


def test_both_ends_stop_once_their_residuals_allow_it():
    product, _ = matrix_with(bulk(300, -50.0))
    found = both_ends(product, start(300), tolerance=1e-3, max_products=200)
    # one product less was not enough
    before = both_ends(product, start(300), tolerance=1e-3, max_products=found.products - 1)
    assert found.converged
    assert found.residual_min <= 0.9 * allowed_residual(found.lambda_min, found.lambda_max, 1e-3)
    assert before.residual_min > 0.9 * allowed_residual(before.lambda_min, before.lambda_max, 1e-3)


@pytest.mark.parametrize("products", [3, 4, 12, 30])
@pytest.mark.parametrize("basis", [None, 6])
def test_the_cap_holds_and_what_is_not_converged_says_so(products, basis):
    values = np.linspace(-1, 2, 400)
    product, calls = matrix_with(values)
    found = both_ends(product, start(400), tolerance=1e-6, max_products=products, basis=basis)
    assert found.products == len(calls) == products
    assert not found.converged
    assert values.min() <= found.lambda_min <= found.lambda_max <= values.max()
    assert max(found.residual_max, found.residual_min) > 1e-3


@pytest.mark.parametrize("bad", [1, 4, 7])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_products_that_are_not_finite_give_nan(bad, value):
    product, calls = matrix_with(np.linspace(-1, 1, 50))

    def sometimes(v):
        found = product(v)
        return found if len(calls) != bad else found * value

    found = both_ends(sometimes, start(50), tolerance=1e-3, max_products=7)
    assert np.isnan([found.lambda_max, found.lambda_min, found.residual_max, found.residual_min]).all()
    assert bool(torch.isnan(found.vectors).all())
    assert not found.converged
    assert found.products == (7 if bad == 7 else bad)


@pytest.mark.parametrize(
    "values", [[2.0], [-1.0, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, -5.0]]
)
def test_small_and_degenerate_matrices(values):
    product, _ = matrix_with(values)
    found = both_ends(product, start(len(values)), tolerance=1e-6, max_products=20)
    assert found.converged
    assert found.lambda_max == pytest.approx(max(values), abs=1e-12)
    assert found.lambda_min == pytest.approx(min(values), abs=1e-12)


def test_the_same_start_gives_the_same_bytes_and_another_the_same_values():
    product, _ = matrix_with(bulk(200, -20.0))
    first, again = (both_ends(product, start(200), tolerance=1e-3, max_products=100) for _ in range(2))
    other = both_ends(product, start(200, seed=1), tolerance=1e-3, max_products=100)
    assert torch.equal(first.vectors, again.vectors)
    assert (first.lambda_max, first.lambda_min) == (again.lambda_max, again.lambda_min)
    assert first.lambda_min != other.lambda_min
    assert first.lambda_min == pytest.approx(other.lambda_min, rel=1e-4)


def test_basis_size_is_bounded_by_memory_products_and_dimension():
    assert basis_size(1000, 300) == 300
    assert basis_size(10, 300) == 10
    assert basis_size(2**21, 300) == 64
    assert basis_size(2**26, 300) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_products": 2}, "max_products is 2; it must be at least 3"),
        ({"tolerance": 0.0}, "tolerance is 0.0; it must be above 0"),
        ({"basis": 3}, "basis is 3; it must be at least 4"),
        ({"start": torch.zeros(9)}, "the start vector has norm 0.0"),
    ],
)
def test_refusals(options, message):
    product, calls = matrix_with(np.ones(9))
    options = {"start": start(9), "tolerance": 1e-3, "max_products": 9} | options
    with pytest.raises(ValueError, match=message):
        both_ends(product, **options)
    assert not calls


@pytest.mark.parametrize("seed", range(4))
def test_residuals_allow_for_the_rounding_of_products(seed):
    draws = np.random.default_rng(seed)
    q, _ = np.linalg.qr(draws.standard_normal((200, 200)))
    matrix = torch.from_numpy(q * np.linspace(-1, 1, 200) @ q.T + 9 * np.outer(q[:, -1], q[:, -1]))
    rounded = both_ends(
        lambda v: (matrix.float() @ v.float()).double(),
        start(200),
        tolerance=1e-4,
        max_products=200,
        dtype=torch.float32,
    )
    true = float((matrix @ rounded.vectors[0] - rounded.lambda_max * rounded.vectors[0]).norm())
    assert true <= rounded.residual_max and rounded.residual_max > 4e-7 * rounded.lambda_max
