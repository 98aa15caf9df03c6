import numpy as np
import pytest

from landscape.sampling_cases import table
from lossatlas.landscape.sampler import Sampler
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.sampling_plan import Plan

N = 1000
X, Y = np.linspace(-1, 1, 13), np.linspace(-1, 0.5, 9)


def smooth(n=N, *, seed=0):
    """Losses of images that are quadratic along the plane, (13, 9, n), with correctness, (13, 9, 2, n)."""
    draws = np.random.default_rng(seed)
    a, b, c, d = draws.gamma(1.0, size=(4, n))
    x, y = X[:, None, None], Y[None, :, None]
    losses = d + a * (x - 0.3 * b) ** 2 + c * (y + 0.2 * x) ** 2
    return np.stack([losses, losses < 1.5], axis=2)


def sampled(values, plan=None, sampling=None, order=None):
    """All points, with what was asked for."""
    measure, asked = table(values)
    sampler = Sampler(X, Y, plan or Plan((4,), (N,)), measure, sampling or Sampling())
    places = [(i, j) for i in range(len(X)) for j in range(len(Y))] if order is None else order
    return {place: sampler(place) for place in places}, asked, sampler


def exact(values, place):
    return {"loss": values[place][0].mean(), "accuracy": values[place][1].mean()}


PLANS = {"one grid": Plan((4,), (N,)), "two grids": Plan((6, 3), (N, 400)), "exact": Plan((1,), (N,))}


@pytest.mark.parametrize("name", PLANS)
def test_estimates_are_near_and_the_coarse_points_exact(name):
    values = smooth()
    found, _, sampler = sampled(values, PLANS[name])
    within = []
    for place, point in found.items():
        true = exact(values, place)
        if place in sampler.grids[0]:
            assert point == {**true, "n": N, "loss_se": 0, "accuracy_se": 0}
        else:
            assert 64 <= point["n"] <= N
            assert 1.96 * point["loss_se"] <= 0.01 + 0.02 * point["loss"]
            within.append(abs(point["loss"] - true["loss"]) <= 0.01 + 0.02 * true["loss"])
            within.append(abs(point["accuracy"] - true["accuracy"]) <= 4 * point["accuracy_se"])
    assert np.mean(within or [1]) >= 0.95


@pytest.mark.parametrize("name", PLANS)
def test_every_image_is_evaluated_once(name):
    found, asked, _ = sampled(smooth(), PLANS[name])
    pieces = [(place, i) for place, start, stop in asked for i in range(start, stop)]
    assert len(pieces) == len(set(pieces)) == sum(point["n"] for point in found.values())


@pytest.mark.parametrize("name", PLANS)
def test_a_point_does_not_depend_on_those_before(name):
    values = smooth()
    found, *_ = sampled(values, PLANS[name])
    places = [(12, 8), (5, 5), (0, 1), (7, 2), (6, 3), (5, 5)]
    again, *_ = sampled(values, PLANS[name], order=places)
    assert all(again[place] == found[place] for place in places)


def test_two_rows_of_corners_are_kept_whatever_the_number_of_points():
    measure, _ = table(smooth())
    sampler = Sampler(X, Y, Plan((6, 2), (N, 400)), measure, Sampling())
    for i in range(len(X)):
        for j in range(len(Y)):
            sampler((i, j))
            assert all(len(corners.rows) <= 2 for corners in sampler.corners)
    sampler.forget()
    assert not any(corners.rows for corners in sampler.corners)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_exact(bad):
    values = smooth()
    values[4, 4, 0, 700] = bad  # a corner, and a late image of it
    values[9, 1, 0, 3] = bad  # a point between, in the sample
    found, *_ = sampled(values)
    for place in [(i, j) for i in range(1, 9) for j in range(1, 9)]:
        if place not in {(8, 8), (8, 4), (4, 8), (4, 4)}:
            assert found[place]["n"] == N and found[place]["loss"] == pytest.approx(exact(values, place)["loss"])
    for place in ((4, 4), (9, 1)):
        np.testing.assert_equal(found[place]["loss"], exact(values, place)["loss"])
        assert found[place]["n"] == N and found[place]["loss_se"] == 0
    assert found[10, 6]["n"] < N


def test_an_overflow_of_the_arithmetic_is_exact():
    values = smooth() * 1e200
    found, *_ = sampled(values)
    assert found[1, 1]["n"] == N and found[1, 1]["loss"] == exact(values, (1, 1))["loss"]


@pytest.mark.parametrize("name", ["one grid", "two grids"])
def test_a_rough_surface_is_exact(name):
    values = np.exp(3 * np.random.default_rng(0).standard_normal((13, 9, 2, N)))
    found, *_ = sampled(values, PLANS[name])
    for place, point in found.items():
        assert point["n"] == N and point["loss"] == pytest.approx(exact(values, place)["loss"], rel=1e-12)


def test_noise_that_neighbours_tell_nothing_about_is_sampled_as_such():
    # a uniform loss from 0.9 to 1.1: 2 % with 95 % confidence needs few images even without neighbours
    values = np.random.default_rng(0).uniform(0.9, 1.1, (13, 9, 2, N))
    found, *_ = sampled(values, sampling=Sampling(rtol=0.02, atol=0))
    points = [point for point in found.values() if point["n"] < N]
    assert len(points) == 117 - 12 and np.mean([point["n"] for point in points]) < 100
    assert max(abs(point["loss"] - 1) for point in points) < 0.04


def test_a_share_of_all_lets_a_sample_grow_to_the_whole():
    values = smooth()
    found, *_ = sampled(values, sampling=Sampling(rtol=0, atol=1e-9, share=1.0))
    for place, point in found.items():
        assert point["n"] == N and point["loss"] == pytest.approx(exact(values, place)["loss"], rel=1e-12)
