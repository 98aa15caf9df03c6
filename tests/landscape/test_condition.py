import numpy as np
import pytest
import scipy.linalg
import torch

from landscape.cases import small_data, small_model
from lossatlas.landscape.condition import krylov_bound, slice_condition
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.randomness import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "test"), dtype=torch.float64)


def symmetric(n, seed):
    """A dense symmetric matrix with eigenvalues of both signs."""
    matrix = normal(n, n, seed=seed)
    return matrix + matrix.T


def times(matrix):
    return lambda vector: matrix @ vector


def unit(n, index):
    return torch.eye(n, dtype=torch.float64)[index]


def true_condition(matrix):
    sizes = torch.linalg.eigvalsh(matrix).abs()
    return float(sizes.max() / sizes.min())


def test_slice_of_a_known_quadratic():
    product = times(torch.diag(torch.tensor([2.0, 8.0, -100.0], dtype=torch.float64)))
    found = slice_condition(product, unit(3, 0), unit(3, 1))
    assert found.eigenvalues == pytest.approx((2, 8), rel=1e-14)
    assert found.condition == pytest.approx(4, rel=1e-14)


def test_lengths_and_angle_of_the_directions_do_not_matter():
    matrix = symmetric(6, 1)
    first, second = normal(2, 6, seed=2)
    plain = slice_condition(times(matrix), first, second)
    mixed = slice_condition(times(matrix), 1000 * first, 0.3 * second - 0.2 * first)
    assert mixed.eigenvalues == pytest.approx(plain.eigenvalues, rel=1e-10)
    assert mixed.condition == pytest.approx(plain.condition, rel=1e-10)


def test_slice_against_a_generalized_eigenproblem():
    matrix, axes = symmetric(5, 3), normal(2, 5, seed=4)
    form, metric = (axes @ matrix @ axes.T).numpy(), (axes @ axes.T).numpy()
    expected = scipy.linalg.eigh(form, metric, eigvals_only=True)
    assert slice_condition(times(matrix), *axes).eigenvalues == pytest.approx(tuple(expected), rel=1e-12)


def test_signs_do_not_matter_and_a_singular_slice_has_no_condition():
    matrix = torch.diag(torch.tensor([-1.0, 3.0, 0.0], dtype=torch.float64))
    found = slice_condition(times(matrix), unit(3, 0), unit(3, 1))
    assert found.eigenvalues == pytest.approx((-1, 3)) and found.condition == pytest.approx(3)
    assert slice_condition(times(matrix), unit(3, 1), unit(3, 2)).condition is None
    # products that are not symmetric show their rounding, and a curvature below it is none
    matrix[1, 2] = 1e-3
    noisy = slice_condition(times(matrix), unit(3, 1), unit(3, 2))
    assert noisy.condition is None and noisy.rounding == pytest.approx(1e-3)


def test_parallel_directions_are_refused():
    with pytest.raises(ValueError, match="zero or parallel and span no plane"):
        slice_condition(times(symmetric(4, 0)), unit(4, 0), -2 * unit(4, 0))
    with pytest.raises(ValueError, match="zero or parallel and span no plane"):
        slice_condition(times(symmetric(4, 0)), unit(4, 0), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_never_exceeds_the_condition_and_reaches_it(seed):
    n = 12
    matrix = symmetric(n, seed)
    true, values = true_condition(matrix), torch.linalg.eigvalsh(matrix)
    found = [krylov_bound(times(matrix), normal(n, seed=9), steps=k) for k in range(1, n + 1)]
    bounds = [bound.condition for bound in found]
    # the last bound is the condition itself, up to rounding
    assert all(bound <= true * (1 + 1e-9) for bound in bounds)
    assert all(after >= before * (1 - 1e-12) for before, after in zip(bounds, bounds[1:], strict=False))
    assert bounds[-1] == pytest.approx(true, rel=1e-9) and bounds[3] < 0.9 * true
    for bound in found:
        assert bound.lambda_max <= values[-1] + 1e-10 and bound.lambda_min >= values[0] - 1e-10
        # an eigenvalue lies within the residual of each Ritz value
        for value, residual in ((bound.lambda_max, bound.residual_max), (bound.lambda_min, bound.residual_min)):
            assert float((values - value).abs().min()) <= residual + 1e-10
    assert found[-1].residual_max < 1e-9 and found[0].residual_max > 0.1


def test_smallest_norm_and_residuals_against_dense_projections():
    matrix, start = symmetric(9, 2), normal(9, seed=3)
    columns = [start]
    for _ in range(3):
        columns.append(matrix @ columns[-1])
    basis = torch.linalg.qr(torch.stack(columns, 1)).Q
    found = krylov_bound(times(matrix), start, steps=4)
    assert found.smallest_norm == pytest.approx(float(torch.linalg.svdvals(matrix @ basis)[-1]), rel=1e-9)
    values, vectors = torch.linalg.eigh(basis.T @ matrix @ basis)
    ritz = basis @ vectors[:, -1]
    assert found.lambda_max == pytest.approx(float(values[-1]), rel=1e-10)
    assert found.residual_max == pytest.approx(float((matrix @ ritz - values[-1] * ritz).norm()), rel=1e-8)
    assert found.condition == pytest.approx(float(values.abs().max()) / found.smallest_norm, rel=1e-9)


def test_rounded_products_lower_the_bound():
    matrix = symmetric(10, 4)
    narrow = matrix.float()
    found = krylov_bound(lambda v: (narrow @ v.float()).double(), normal(10, seed=5), steps=10)
    assert 1e-9 < found.rounding < 1e-4
    assert 0.9 * true_condition(matrix) < found.condition < true_condition(matrix)


def test_an_exhausted_space_ends_early():
    matrix = torch.diag(torch.tensor([5.0, -2.0, 0.5, 7.0], dtype=torch.float64))
    found = krylov_bound(times(matrix), unit(4, 0) + unit(4, 1), steps=4)
    assert found.steps == 2 and found.condition == pytest.approx(2.5, rel=1e-12)
    assert (found.lambda_max, found.lambda_min) == pytest.approx((5, -2))
    assert krylov_bound(times(torch.zeros_like(matrix)), unit(4, 0), steps=3).condition is None


def test_a_networks_hessian():
    operator = HessianOperator(small_model(base_width=1), small_data(6), batch_size=4)
    dense = torch.stack([operator.product(row) for row in torch.eye(operator.size, dtype=torch.float64)])
    found = krylov_bound(operator.product, normal(operator.size), steps=15)
    assert found.condition <= true_condition(dense) and found.condition > 10
    assert found.lambda_max == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), abs=2 * found.residual_max)


@pytest.mark.parametrize(("steps", "start"), [(0, unit(3, 0)), (2, torch.zeros(3, dtype=torch.float64))])
def test_no_steps_or_no_start_are_refused(steps, start):
    with pytest.raises(ValueError, match=f"steps = {steps} from a start of norm .*; both must be above 0"):
        krylov_bound(times(symmetric(3, 0)), start, steps=steps)


def test_products_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="product 1 of 2 is not finite"):
        krylov_bound(lambda vector: vector * np.nan, unit(3, 0), steps=2)
