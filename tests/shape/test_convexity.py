import math
from dataclasses import replace

import numpy as np
import pytest

from lossatlas.results import Plane
from lossatlas.shape.convexity import convex_points, convex_radius, convex_share, nonconvex_level
from lossatlas.shape.widths import level_set
from shape.cases import grid, paraboloid, surface


@pytest.mark.parametrize(("nx", "ny"), [(5, 5), (25, 21), (9, 101)])
def test_a_paraboloid_is_convex_everywhere(nx, ny):
    plane = surface(paraboloid(2, 7, 0.5), *grid(nx, ny, reach_y=3.0))
    assert convex_share(plane) == 1.0
    assert nonconvex_level(plane) == convex_radius(plane) == math.inf


def test_a_tilted_valley_is_convex_and_a_tilted_saddle_is_not():
    # the eigenvalues are those of [[2, c], [c, 2]]: the mixed derivative decides
    def tilted(c):
        return lambda x, y: 1 + x**2 + y**2 + c * x * y

    assert convex_share(surface(tilted(1.9))) == 1.0
    assert convex_share(surface(tilted(2.1))) == 0.0
    assert convex_share(surface(tilted(-2.1))) == 0.0


def test_the_tolerance_is_a_share_of_the_larger_curvature():
    assert convex_share(surface(lambda x, y: 1 + x**2 - 0.009 * y**2)) == 1.0
    assert convex_share(surface(lambda x, y: 1 + x**2 - 0.011 * y**2)) == 0.0
    assert convex_share(surface(lambda x, y: 1 - x**2 - y**2)) == 0.0


def test_float32_rounding_is_no_curvature():
    # 251 points a side: rounding errors of 1e-7 divided by the squared step are 2e-3
    x, y = grid(251, 251)
    rough = surface(lambda x, y: (2.3 + 1e-5 * (x**2 + y**2)).astype(np.float32), x, y)
    assert convex_share(rough) == 1.0
    assert convex_share(surface(lambda x, y: (2.3 + 0.1 * (x**2 - y**2)).astype(np.float32), x, y)) == 0.0


@pytest.mark.parametrize("n", [41, 81, 161])
def test_an_egg_carton(n):
    # f = 2 - cos x - cos y: convex where both cosines are positive, a quarter of whole periods; the lowest losses
    # outside are those next to (pi/2, 0), where f = 1
    x, y = grid(n, n + 10, reach=2 * math.pi)
    plane = surface(lambda x, y: 2.0 - np.cos(x) - np.cos(y), x, y)
    step = 4 * math.pi / (n - 1)
    assert convex_share(plane) == pytest.approx(0.25, abs=0.4 * step)
    assert 1.0 <= nonconvex_level(plane) < 1 + step
    assert math.pi / 2 <= convex_radius(plane) < math.pi / 2 + step


def test_points_that_are_not_convex_are_in_their_place():
    # concave for x > 0.5 only
    x, y = grid(9, 5)
    bent = surface(lambda x, y: 5 + y**2 + np.where(x <= 0.5, x**2, 0.25 + (x - 0.5) - (x - 0.5) ** 2), x, y)
    convex, known = convex_points(bent)
    assert convex.shape == known.shape == (9, 5) and known.sum() == 7 * 3 and known[1:-1, 1:-1].all()
    assert not (convex & ~known).any()
    inner = convex[1:-1, 1:-1]
    assert inner.all(axis=1).tolist() == inner.any(axis=1).tolist() == [True] * 6 + [False]
    turned = Plane(
        x=y, y=x, train_loss=bent.train_loss.T, train_accuracy=bent.train_accuracy.T, test_loss=bent.test_loss.T,
        test_accuracy=bent.test_accuracy.T, computed=bent.computed.T,
    )  # fmt: skip
    assert np.array_equal(convex_points(turned)[0], convex.T)
    assert convex_radius(turned) == convex_radius(bent) == 0.75


def test_points_unequally_far_apart():
    x, y = np.array([-1.0, -0.4, 0.0, 0.1, 2.0]), np.array([-3.0, -1.0, 0.0, 0.5])
    assert convex_share(surface(lambda x, y: 1 + x**2 + y**2 + 1.9 * x * y, x, y)) == 1.0
    assert convex_share(surface(lambda x, y: 1 + x**2 + y**2 + 2.1 * x * y, x, y)) == 0.0
    found = level_set(surface(paraboloid(1, 1), np.linspace(-1, 1, 81) ** 3, np.linspace(-1, 1, 81)), 0.25)
    assert found.area == pytest.approx(math.pi / 4, rel=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_are_not_finite_are_not_convex(bad):
    x, y = grid(11, 9)
    plane = surface(lambda x, y: np.where((x > 0.7) & (y > 0.7), bad, 1 + x**2 + y**2), x, y)
    # 4 points (x = 0.8, 1; y = 0.75, 1) are bad: they and the neighbours of the corner (0.8, 0.75) are not convex
    convex, known = convex_points(plane)
    assert known.sum() == 63 and (known & ~convex).sum() == 4
    assert convex_share(plane) == pytest.approx(1 - 4 / 63)
    # of these the lowest finite one
    assert nonconvex_level(plane) == pytest.approx(1 + 0.6**2 + 0.5**2)


def test_points_that_were_not_computed_do_not_count():
    x, y = grid(11, 9)
    computed = np.ones((11, 9), dtype=bool)
    computed[:4] = False
    plane = surface(lambda x, y: np.where(x < -0.3, np.nan, 1 + x**2 - y**2), x, y, computed)
    assert convex_points(plane)[1].sum() == 5 * 7
    assert convex_share(plane) == 0.0
    assert math.isnan(convex_share(surface(paraboloid(1, 1), x, y, np.zeros((11, 9), dtype=bool))))


def test_a_plane_too_small_for_differences():
    plane = surface(paraboloid(1, 1), np.array([-1.0, 0, 1]), np.array([0.0, 1]))
    assert not convex_points(plane)[1].any()
    assert all(math.isnan(measure(plane)) for measure in (convex_share, convex_radius, nonconvex_level))


def test_unknown_beside_a_point_that_was_not_computed_not_convex_beside_one_that_is_not_finite():
    plane = surface(paraboloid(1, 2), *grid(9, 9))
    hole = plane.train_loss.copy()
    hole[4, 4] = np.nan
    missing = plane.computed.copy()
    missing[4, 4] = False
    overflow, absent = replace(plane, train_loss=hole), replace(plane, train_loss=hole, computed=missing)
    about = np.zeros((9, 9), dtype=bool)
    about[3:6, 3:6] = True
    convex, known = convex_points(overflow)
    assert known.sum() == 49 and np.array_equal(known & ~convex, about)
    convex, known = convex_points(absent)
    assert not (known & about).any() and known.sum() == 40 and np.array_equal(convex, known)
