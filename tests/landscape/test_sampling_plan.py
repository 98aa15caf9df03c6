import json
from dataclasses import asdict

import numpy as np
import pytest

from landscape.sampling_cases import table
from lossatlas.landscape import sampling_plan
from lossatlas.landscape.sampler import Sampler
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.sampling_plan import Plan, plan

X, Y = np.linspace(-1, 1, 31), np.linspace(-1, 1, 21)


def losses(n, waves, seed=0):
    """Losses of images that change along the plane the faster the more waves there are."""
    draws = np.random.default_rng(seed)
    size, phase, turn = draws.gamma(1.0, size=n), draws.uniform(0, 6, n), draws.uniform(0, 6, n)
    x, y = X[:, None, None], Y[None, :, None]
    return 1 + size * (2 + np.sin(waves * x + phase) + np.cos(waves * y + turn))


def planned(values, sampling=None):
    measure, asked = table(values)
    return plan(X, Y, values.shape[-1], measure, sampling or Sampling(), "train"), asked


def cost(values, found):
    measure, asked = table(values)
    sampler = Sampler(X, Y, found, measure, Sampling())
    for i in range(len(X)):
        for j in range(len(Y)):
            sampler((i, j))
    return sum(stop - start for _, start, stop in asked)


def test_the_steps_follow_the_surface():
    smooth, rough = (planned(losses(2000, waves))[0] for waves in (1.0, 12.0))
    assert smooth.steps[0] > rough.steps[0]
    assert smooth.predicted < rough.predicted


@pytest.mark.parametrize("waves", [1.0, 3.0])
def test_the_prediction_is_near_the_cost_and_no_other_step_much_cheaper(waves):
    values = losses(2000, waves)
    found, _ = planned(values)
    spent = cost(values, found)
    # predicted with a margin
    assert 0.5 * found.predicted < spent < 1.1 * found.predicted
    assert spent < 1.4 * min(cost(values, Plan((k,), (2000,))) for k in (3, 5, 10, 15))


@pytest.mark.parametrize("waves", [1.0, 3.0])
def test_the_prediction_knows_what_few_carriers_ask_for(waves):
    values = losses(2000, waves)
    # nine images of ten have no loss
    values *= np.random.default_rng(1).random(2000) < 0.1
    found, _ = planned(values)
    assert all(0.01 < share < 0.05 for pilot in found.pilots for share in pilot["carriers"].values())
    # without them it would be 0.2 and 0.5 of the cost
    assert 0.7 * cost(values, found) < found.predicted < 1.5 * cost(values, found)


def test_pilots_are_counted_and_cheap():
    values = losses(2000, 2.0)
    found, asked = planned(values)
    assert found.pilot_evaluations == sum(stop - start for _, start, stop in asked)
    assert 6 <= len(found.pilots) <= 9
    assert found.pilot_evaluations < 0.05 * values.size
    assert all(stop == 128 for *_, stop in asked)


def surface(nx, ny, images, waves):
    """Losses as those above, on a grid of another size."""
    draws = np.random.default_rng(0)
    size, phase = draws.gamma(1.0, size=images), draws.uniform(0, 6, images)
    x, y = np.linspace(-1, 1, nx)[:, None, None], np.linspace(-1, 1, ny)[None, :, None]
    return 1 + size * (2 + np.sin(waves * x + phase) + np.cos(waves * y + phase))


SIZES = [(1, 1), (3, 3), (5, 5), (5, 4), (11, 11), (2, 40), (40, 1), (21, 15)]


@pytest.mark.parametrize("waves", [0.5, 4.0, 40.0])
@pytest.mark.parametrize("images", [16, 128, 129, 500, 1300])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_no_plane_costs_much_more_than_an_exact_one(shape, images, waves):
    values = surface(*shape, images, waves)
    axes = [np.linspace(-1, 1, n) for n in shape]
    measure, asked = table(values)
    found = plan(*axes, images, measure, Sampling(), "train")
    sampler = Sampler(*axes, found, measure, Sampling())
    for place in np.ndindex(*shape):
        sampler(place)
    assert sum(stop - start for _, start, stop in asked) <= 1.05 * values[..., 0].size * images


def test_a_plane_of_a_few_points_is_exact_without_pilots():
    measure, asked = table(surface(5, 5, 128, 0.5))
    found = plan(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), 128, measure, Sampling(), "train")
    assert found == Plan((1,), (128,), predicted=3200.0) and not asked


def test_a_plane_of_middling_size_tries_fewer_grids_and_still_saves():
    values = surface(13, 13, 500, 0.5)
    axes = [np.linspace(-1, 1, 13)] * 2
    measure, asked = table(values)
    found = plan(*axes, 500, measure, Sampling(), "train")
    assert {step for pilot in found.pilots for step in pilot["variances"]} <= {2, 3}
    assert 0 < found.pilot_evaluations <= 0.05 * values.size
    asked.clear()
    sampler = Sampler(*axes, found, measure, Sampling())
    for place in np.ndindex(13, 13):
        sampler(place)
    assert found.pilot_evaluations + sum(stop - start for _, start, stop in asked) < 0.7 * values.size


@pytest.mark.parametrize(("shape", "images"), [((51, 51), 8000), ((251, 251), 50000), ((31, 21), 2000)])
def test_the_bound_changes_nothing_on_large_planes(shape, images, monkeypatch):
    axes = [np.linspace(-1, 1, n) for n in shape]

    def measure(place, start, stop):
        shift = np.arange(start, stop)
        return np.stack([2 + np.sin(axes[0][place[0]] + shift) * np.cos(axes[1][place[1]] - shift)] * 2)

    found = plan(*axes, images, measure, Sampling(), "train")
    monkeypatch.setattr(sampling_plan, "_AT_MOST", 1e9)
    assert plan(*axes, images, measure, Sampling(), "train") == found
    assert found.steps[0] > 1


def test_noise_makes_every_point_exact():
    values = np.exp(2 * np.random.default_rng(0).standard_normal((31, 21, 600)))
    found, _ = planned(values)
    assert found.steps == (1,) and found.images == (600,)
    assert found.predicted == values.size


def test_what_is_not_finite_is_no_reason_for_samples():
    found, _ = planned(np.full((31, 21, 600), np.nan))
    assert found.steps == (1,)
    assert all(variance is None for pilot in found.pilots for variance in pilot["variances"].values())


def test_named_steps_need_no_pilots():
    found, asked = planned(losses(600, 2.0), Sampling(steps=(10, 5), images=128))
    assert found == Plan((10, 5), (600, 128)) and not asked


def test_few_images_are_all_taken():
    found, asked = planned(losses(100, 1.0), Sampling(steps=(10,)))
    assert found == Plan((1,), (100,)) and not asked


def test_a_plan_survives_a_file():
    found, _ = planned(losses(2000, 2.0))
    again = Plan.read(json.loads(json.dumps(asdict(found))))
    assert (again.steps, again.images, again.predicted) == (found.steps, found.images, found.predicted)


def test_an_axis_of_one_point():
    measure, _ = table(losses(2000, 1.0)[:, :1])
    found = plan(X, Y[:1], 2000, measure, Sampling(), "train")
    assert found.steps[0] > 1
