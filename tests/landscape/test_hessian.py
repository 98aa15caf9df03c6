import json

import h5py
import numpy as np
import pytest
import torch

from engine.cases import same, snapshot
from landscape.cases import GOLDEN, golden_digits, golden_direction, golden_model, small_data, small_model
from landscape.hessian_cases import NETWORKS, dense_hessian, spectrum
from lossatlas.landscape import hessian
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.hessian import extremes, hessian_map, next_start, start_vector
from lossatlas.landscape.lanczos import Extremes
from lossatlas.landscape.points import displaced
from lossatlas.results import HessianMap

DIGITS = GOLDEN / "resnet20_digits32.h5"
ARRAYS = ("lambda_max", "lambda_min", "residual_max", "residual_min", "products", "converged", "computed")


@pytest.mark.parametrize("weights", ["matrices", "all"])
@pytest.mark.parametrize("name", NETWORKS)
def test_both_ends_are_those_of_the_dense_hessian(name, weights):
    build, data = NETWORKS[name]
    model = build()
    values = spectrum(dense_hessian(model, data(), weights))
    found = extremes(HessianOperator(model, data(), batch_size=3, weights=weights), tolerance=1e-3)
    assert found.converged
    # residuals are within 1e-3 of the eigenvalues (of a hundredth of the larger one), errors below them
    assert found.lambda_max == pytest.approx(values[-1], rel=1e-3)
    assert found.lambda_min == pytest.approx(values[0], rel=1e-3, abs=1e-5 * values[-1])
    assert found.residual_max <= 1e-3 * values[-1]


def test_both_ends_do_not_depend_on_the_batches():
    model, data = small_model().float(), small_data(11, dtype=torch.float32)
    one, ragged = (extremes(HessianOperator(model, data, batch_size=size), tolerance=1e-4) for size in (11, 4))
    assert one.converged
    assert ragged.lambda_max == pytest.approx(one.lambda_max, rel=1e-5)
    assert ragged.lambda_min == pytest.approx(one.lambda_min, rel=1e-5)


def test_against_the_original_program():
    model = golden_model()
    axes = [golden_direction(DIGITS, key, model) for key in ("filter_x", "filter_y")]
    operator = HessianOperator(model, golden_digits(128))
    with h5py.File(DIGITS) as file:
        points = file["hessian/points"][()]
    assert len(points) == 2
    for x, y, high, low, _, _ in points:
        operator.load(displaced(model.state_dict(), axes, (x, y)))
        # errors are about the squares of residuals: a hundredth is enough for a thousandth
        found = extremes(operator, tolerance=1e-2)
        assert found.converged
        assert found.lambda_max == pytest.approx(high, rel=1e-3)
        assert found.lambda_min == pytest.approx(low, rel=1e-3)


def test_start_vectors_depend_on_the_seed_only():
    assert torch.equal(start_vector(5), start_vector(5, seed=0))
    assert not torch.equal(start_vector(5), start_vector(5, seed=1))


def test_the_next_start_is_the_sum_of_what_was_found_and_a_random_vector():
    start = torch.tensor([0.0, 0.0, 3.0])
    found = Extremes(2.0, -1.0, 0.0, 0.0, 3, True, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert next_start(start, found).tolist() == [1.0, 1.0, 1.0]
    assert next_start(start, None) is start
    unknown = Extremes(2.0, -1.0, 0.0, 0.0, 3, False, torch.full((2, 3), torch.nan))
    assert next_start(start, unknown) is start


def test_points_close_by_take_fewer_products_to_the_same_ends():
    model, data = small_model(base_width=4), small_data(16)
    axes = {"x": [0.2], "y": np.linspace(0.0, 0.1, 5)}
    options = plane_of(model, **axes, batch_size=16)
    found = hessian_map(model, data, **options, tolerance=1e-3)
    operator = HessianOperator(model, data, batch_size=16)
    alone = []
    for y in found.y:
        operator.load(displaced(model.state_dict(), options["directions"], (0.2, y)))
        alone.append(extremes(operator, tolerance=1e-3))
    products = np.array([each.products for each in alone])
    assert found.products[0, 0] == products[0]
    assert (found.products[0, 1:] <= products[1:]).all()
    assert found.products[0, 1:].sum() < 0.85 * products[1:].sum()
    assert found.converged.all()
    # errors are about the squares of residuals
    np.testing.assert_allclose(found.lambda_max[0], [each.lambda_max for each in alone], rtol=1e-5)
    np.testing.assert_allclose(found.lambda_min[0], [each.lambda_min for each in alone], rtol=1e-4)


def test_residuals_are_those_of_products_of_their_own():
    model, data = small_case()
    operator = HessianOperator(model, data)
    found = extremes(operator, tolerance=1e-3)
    for value, residual, vector in zip(
        (found.lambda_max, found.lambda_min), (found.residual_max, found.residual_min), found.vectors, strict=True
    ):
        image = operator.product(vector)
        # the products are float32
        rounding = 1e-6 * found.lambda_max
        assert float(vector @ image) == pytest.approx(value, abs=rounding)
        assert float((image - value * vector).norm()) == pytest.approx(residual, abs=rounding)


def plane_of(model, **options):
    state = model.state_dict()
    axes = tuple(random_direction(state, seed=3, stream=f"direction_{name}") for name in ("x", "y"))
    return {"directions": axes, "x": [-0.5, 0.0, 1.0], "y": [0.0, 0.5], "batch_size": 4} | options


def small_case():
    return small_model(base_width=1).float(), small_data(dtype=torch.float32)


def test_a_map_is_what_its_points_are_and_not_transposed():
    model, data = small_model(base_width=1), small_data()
    before = snapshot(model)
    options = plane_of(model)
    found = hessian_map(model, data, **options, tolerance=1e-4)
    assert same(before, snapshot(model))
    assert found.lambda_max.shape == (3, 2)
    assert found.computed.all()
    assert found.converged.all()
    assert found.note == ""
    operator = HessianOperator(model, data)
    for i, x in enumerate(found.x):
        for j, y in enumerate(found.y):
            operator.load(displaced(model.state_dict(), options["directions"], (x, y)))
            alone = extremes(operator, tolerance=1e-4)
            assert found.lambda_max[i, j] == pytest.approx(alone.lambda_max, rel=1e-6)
            assert found.lambda_min[i, j] == pytest.approx(alone.lambda_min, rel=1e-4)
    assert found.provenance["examples"] == 7
    assert found.provenance["parameters"] == operator.size
    assert [axis["stream"] for axis in found.provenance["directions"]] == ["direction_x", "direction_y"]


def test_a_map_over_all_weights_differs():
    model, data = small_case()
    options = plane_of(model, x=[0.0], y=[0.0])
    some, every = (hessian_map(model, data, **options, weights=weights) for weights in ("matrices", "all"))
    # a principal submatrix has its eigenvalues between the ends of the whole
    assert every.lambda_max > some.lambda_max
    assert every.lambda_min < some.lambda_min


class StoppedError(Exception):
    pass


def test_a_map_goes_on_where_it_was_with_the_same_bytes(tmp_path, monkeypatch):
    model, data = small_case()
    options = plane_of(model, max_products=20)
    hessian_map(model, data, **options).save(tmp_path / "whole.h5")
    journal, original, calls = tmp_path / "points.jsonl", hessian.extremes, []

    def stops(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise StoppedError
        return original(*args, **kwargs)

    monkeypatch.setattr(hessian, "extremes", stops)
    monkeypatch.setattr("lossatlas.landscape.points.FLUSH_SECONDS", 0)
    with pytest.raises(StoppedError):
        hessian_map(model, data, **options, journal=journal)
    assert len(journal.read_text().splitlines()) == 4
    hessian_map(model, data, **options, journal=journal).save(tmp_path / "resumed.h5")
    # places 0 to 2 are on disk; the chain of places 2 and 3 begins anew
    assert len(calls) == 4 + 4
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    # and in any order: the last three alone, before the first three
    head, *lines = journal.read_text().splitlines()
    journal.write_text("\n".join([head, *lines[3:]]) + "\n")
    hessian_map(model, data, **options, journal=journal).save(tmp_path / "other.h5")
    assert (tmp_path / "other.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("change", [{"tolerance": 0.1}, {"max_products": 19}, {"weights": "all"}, {"seed": 1}])
def test_a_journal_of_other_settings_is_refused(tmp_path, change):
    model, data = small_case()
    options = plane_of(model, x=[0.0], y=[0.0], max_products=20, journal=tmp_path / "points.jsonl")
    hessian_map(model, data, **options)
    with pytest.raises(ValueError, match="holds points of other data, weights, loss or grid"):
        hessian_map(model, data, **{**options, **change})


def test_points_that_overflow_are_nan_with_a_note(tmp_path):
    model, data = small_case()
    found = hessian_map(model, data, **plane_of(model, x=[0.0, 1e30]))
    assert np.isfinite(found.lambda_max[0]).all()
    for name in ARRAYS[:4]:
        assert np.isnan(getattr(found, name)[1]).all()
    assert found.converged.tolist() == [[True, True], [False, False]]
    assert found.computed.all()
    assert found.note == "2 points have a loss or a curvature that overflows"
    found.save(tmp_path / "hessian.h5")
    assert HessianMap.load(tmp_path / "hessian.h5").note == found.note


def test_points_that_do_not_converge_are_marked_and_keep_the_best_so_far():
    model, data = small_case()
    few, many = (hessian_map(model, data, **plane_of(model), max_products=n) for n in (5, 100))
    assert not few.converged.any()
    assert (few.products == 5).all()
    assert few.products.dtype == np.int64
    assert many.converged.all()
    assert (few.lambda_max <= many.lambda_max * (1 + 1e-6)).all()
    assert (few.lambda_min >= many.lambda_min - 1e-6 * many.lambda_max).all()
    assert (few.lambda_max > few.lambda_min).all()


def test_provenance_is_plain(tmp_path):
    model, data = small_case()
    found = hessian_map(model, data, **plane_of(model, x=[0.0], y=[0.0]), seed=2, tolerance=0.01, max_products=30)
    kept = json.loads(json.dumps(found.provenance))
    assert {name: kept[name] for name in ("seed", "tolerance", "max_products", "weights")} == {
        "seed": 2,
        "tolerance": 0.01,
        "max_products": 30,
        "weights": "matrices",
    }
