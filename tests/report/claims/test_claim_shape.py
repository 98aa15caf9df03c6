from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from synthetic_claims import make_profile
from synthetic_report import make_plane

from lossatlas.landscape.sharpness import convexity, profile_numbers
from lossatlas.report.claims.shape import RISE, bowl_radius, convex_points, outward, spearman


def test_a_parabola_rises_where_it_should() -> None:
    distance = np.linspace(0, 1, 6)
    found = outward(distance, 0.3 + 0.7 * distance**2)
    assert found.reached
    assert found.value == pytest.approx(np.sqrt(RISE / 0.7), rel=1e-12)  # exact between the points
    flat = outward(distance, np.full(6, 0.3))
    assert (flat.value, flat.reached, flat.bound) == (1.0, False, "at least")


def test_a_loss_that_is_not_finite_ends_the_neighbourhood() -> None:
    distance = np.linspace(0, 1, 6)
    for value in (np.nan, np.inf):
        assert outward(distance, np.array([0.1, 0.1, value, 0.1, 0.1, 0.1])).value == distance[2]
    assert outward(distance, np.full(6, np.nan)).value == 0


def test_the_radius_is_that_of_the_sharpness_numbers() -> None:
    for profile in (make_profile(0.31), make_profile(0.07, noise=0.3)):
        assert bowl_radius(profile).value == pytest.approx(profile_numbers(profile)["level_radius"], rel=1e-9)


def test_both_sides_count() -> None:
    profile = make_profile(0.3, rows=1, noise=0.0)
    loss = profile.train_loss.copy()
    loss[:, :20] = loss[:, 20:21] + 0.1 * (profile.alpha[:20] / 0.1) ** 2
    lopsided = type(profile)(**{**vars(profile), "train_loss": loss})
    assert bowl_radius(lopsided).value == pytest.approx((0.3 + 0.1) / 2)


@pytest.mark.parametrize("shape", ["bowl", "ridge", "chaos"])
def test_convex_points_are_those_of_the_sharpness_numbers(shape: str) -> None:
    losses = {
        "bowl": lambda x, y: 0.02 + 3 * x**2 + 0.6 * (y - 0.1) ** 2 + 0.4 * x * y,
        "ridge": lambda x, y: 2 + 3 * np.cos(4 * x) + y**2,
        "chaos": lambda x, y: np.exp(4 + 9 * np.sin(7 * x + 3 * y) * np.cos(5 * y)) * (x**2 + y**2) + 0.2,
    }
    plane = make_plane(15, 11, loss=losses[shape])
    convex, known = convex_points(plane)
    expected, counted = convexity(plane)
    np.testing.assert_array_equal(convex[1:-1, 1:-1], expected)
    np.testing.assert_array_equal(known[1:-1, 1:-1], counted)
    assert not convex[0].any()
    assert not known[:, -1].any()
    assert convex.any()
    assert bool(convex[known].all()) == (shape == "bowl")


def test_nothing_is_said_beside_a_hole() -> None:
    plane = make_plane(9, 9)
    plane.train_loss[4, 4] = np.inf
    convex, known = convex_points(plane)
    assert not known[3:6, 3:6].any()
    assert known.sum() == 49 - 9
    assert convex.sum() == 49 - 9


def test_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 12).tolist(), rng.normal(size=12).tolist()
    assert spearman(first, second) == pytest.approx(float(stats.spearmanr(first, second).statistic))
    assert spearman([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)
    assert spearman([1, 2, float("inf")], [1, 2, 3]) == pytest.approx(1)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
