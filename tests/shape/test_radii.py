import math

import numpy as np
import pytest

from lossatlas.shape.measures import profile_numbers
from lossatlas.shape.radii import RISE, bowl_radius, curvature, mean_loss, outward, radius, reach
from shape.cases import rows


@pytest.mark.parametrize("c", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("n", [5, 21, 401])
def test_radii_of_a_parabola_are_exact_at_any_resolution(c, n):
    found = profile_numbers(rows(lambda t: c + 5 * t**2, alpha=np.linspace(-1, 1, n))).values
    assert found["doubling_radius"] == pytest.approx(math.sqrt(c / 5), rel=1e-9)
    assert found["level_radius"] == pytest.approx(math.sqrt(RISE / 5), rel=1e-9)


def test_the_mean_is_over_rows_and_both_signs():
    # the mean of the four half-lines is c + (1 + 2 + 3 + 10) / 4 t^2
    both = rows(lambda t: 0.1 + np.where(t < 0, 1, 2) * t**2, lambda t: 0.1 + np.where(t < 0, 3, 10) * t**2)
    reach, loss = mean_loss(both)
    np.testing.assert_allclose(reach, np.linspace(0, 1, 11), atol=1e-15)
    np.testing.assert_allclose(loss, 0.1 + 4 * reach**2, rtol=1e-12)
    assert radius(both, 0.1 + 0.5).value == pytest.approx(math.sqrt(0.5 / 4), rel=1e-9)


def test_sides_of_different_length_and_points():
    found = mean_loss(rows(lambda t: t**2, alpha=[-0.5, -0.25, 0, 0.1, 0.5, 2]))
    np.testing.assert_allclose(found[0], [0, 0.1, 0.25, 0.5])
    np.testing.assert_allclose(found[1], [0, 0.01, 0.0625, 0.25])
    one_sided = mean_loss(rows(lambda t: t, alpha=[0, 1, 2]))
    np.testing.assert_array_equal(one_sided, [[0, 1, 2], [0, 1, 2]])


def test_a_level_that_is_not_reached_is_beyond():
    flat = rows(lambda t: 1 + 0.01 * t**2)
    found = profile_numbers(flat).values
    assert found["doubling_radius"] == found["level_radius"] == math.inf
    assert radius(flat, 0.5).value == 0.0  # the centre is above it


def test_the_smallest_radius_counts_when_the_curve_comes_back():
    found = radius(rows(lambda t: np.sin(3 * np.abs(t)) ** 2, alpha=np.linspace(-1, 1, 2001)), 0.5)
    assert found.value == pytest.approx(math.pi / 12, rel=1e-4)
    # below the centre on the way
    dips = radius(rows(lambda t: 1 - t**2 + 4 * t**4, alpha=np.linspace(-1, 1, 2001)), 1.5)
    assert dips.value == pytest.approx(math.sqrt((1 + 3) / 8), rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_infinitely_high(bad):
    # finite up to 0.3: the level lies behind
    one = rows(lambda t: np.where(np.abs(t) > 0.35, bad, 0.1 + t**2), lambda t: 0.1 + t**2)
    assert radius(one, 0.6).value == pytest.approx(0.3)
    assert radius(one, 0.1 + 0.04).value == pytest.approx(0.2)


def test_losses_that_were_not_computed_give_no_radius():
    alpha = np.linspace(-1, 1, 5)
    missing = rows(lambda t: 0.1 + np.where(t == 1, np.nan, t**2), alpha=alpha, computed=(alpha < 1)[None])
    found = profile_numbers(missing)
    for name in ("doubling_radius", "level_radius"):
        assert math.isnan(found.values[name]) and found.unknown[name] == "losses were not computed"
    assert math.isnan(bowl_radius(missing).value)


def test_curvature_is_the_mean_of_all_rows_or_unknown():
    flat = (lambda t: 1 + t**2,) * 3
    found = curvature(rows(*flat, curvature=[1.0, 3.0, 5.0]))
    assert (found.mean, found.std, found.finite, found.directions) == (3.0, 2.0, 3, 3)
    for bad in (np.nan, np.inf):
        part = curvature(rows(*flat, curvature=[1.0, bad, 4.0]))
        assert math.isnan(part.mean) and math.isnan(part.std) and (part.finite, part.directions) == (2, 3)
    one = curvature(rows(flat[0], curvature=[1.0]))
    assert one.mean == 1.0 and math.isnan(one.std)


def test_widths_of_one_side_and_of_a_mean():
    distance = np.linspace(0, 1, 6)
    found = outward(distance, 0.3 + 0.7 * distance**2)
    assert found.reached and found.bound == ""
    assert found.value == pytest.approx(math.sqrt(RISE / 0.7), rel=1e-12)  # exact between the points
    flat = outward(distance, np.full(6, 0.3))
    assert (flat.value, flat.reached, flat.bound) == (1.0, False, "at least")
    # the mean of both sides is 0.3 + 2.5 t^2
    lopsided = rows(lambda t: 0.3 + np.where(t < 0, 4, 1) * t**2)
    assert bowl_radius(lopsided).value == pytest.approx(math.sqrt(RISE / 2.5), rel=1e-9)
    assert bowl_radius(lopsided).value == profile_numbers(lopsided).values["level_radius"]


def test_a_radius_ends_at_the_last_finite_loss():
    distance = np.linspace(0, 1, 6)
    high = np.array([0.1, 0.1, 1e30, 0.1, 0.1, 0.1])
    for value in (np.nan, np.inf, 1e30):
        high[2] = value
        assert outward(distance, high).value == pytest.approx(distance[1])
    assert outward(distance, np.full(6, np.nan)).value == 0
    assert reach(distance, np.full(6, np.inf), 0.5).value == 0


def test_a_level_reached_exactly_at_a_point():
    assert reach(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 9.0]), 0.5).value == 1.0
