import math

import numpy as np
import pytest

from lossatlas.shape.radii import RISE
from lossatlas.shape.widths import level_set
from shape.cases import grid, paraboloid, surface


@pytest.mark.parametrize(("nx", "ny"), [(15, 15), (15, 41), (41, 15), (51, 51), (251, 201)])
def test_the_area_of_an_ellipse(nx, ny):
    a, b = 0.4, 1.1  # loss <= 0.1 within the half axes sqrt(0.1 / a) = 0.5 and 0.30
    found = level_set(surface(paraboloid(a, b), *grid(nx, ny)), RISE)
    area = math.pi * RISE / math.sqrt(a * b)
    # exact but for the fine cells along the edge
    assert found.area == pytest.approx(area, rel=0.004)
    assert found.width == pytest.approx(2 * math.sqrt(found.area / math.pi))
    assert not found.touches_border


def test_a_set_smaller_than_the_grid():
    # half axes of 0.06 and 0.03 on a step of 0.14
    found = level_set(surface(paraboloid(27.8, 111.1, 1e-4), *grid(15, 15)), RISE)
    assert found.area == pytest.approx(math.pi * 0.06 * 0.03, rel=0.02)


@pytest.mark.parametrize(("n", "bound"), [(15, 0.12), (57, 0.02), (201, 0.005)])
def test_a_set_across_the_axes_is_as_narrow_as_said(n, bound):
    # half axes of 0.5 and 0.25 at 45 degrees: 3.5 and 1.75 steps of 15 points
    found = level_set(surface(lambda x, y: 0.05 + 0.1 * (x + y) ** 2 + 0.4 * (x - y) ** 2, *grid(n, n)), 0.1)
    area = math.pi * 0.05 / math.sqrt(0.2 * 0.8)
    assert area * (1 - bound) < found.area < area * 1.003


def test_only_the_component_about_the_centre_counts():
    x, y = grid(201, 101, reach=3.0, reach_y=1.0)
    wells = surface(lambda x, y: np.minimum(x**2, (np.abs(x) - 2) ** 2) + y**2, x, y)
    assert level_set(wells, 0.25).area == pytest.approx(math.pi * 0.25, rel=0.01)
    # at the height of the passes the three are one
    assert level_set(wells, 0.95).area == pytest.approx(math.pi * 0.95, rel=0.01)
    assert level_set(wells, 1.1).touches_border


def test_a_centre_on_the_border():
    found = level_set(surface(paraboloid(1, 1), np.linspace(0, 1, 41), np.linspace(-1, 1, 41)), 0.25)
    assert found.touches_border and math.isnan(found.area)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_walls_of_losses_that_are_not_finite(bad):
    x, y = grid(21, 21)
    walled = surface(lambda x, y: np.where(np.abs(x) > 0.35, bad, 0.4 * y**2 + np.where(x < -0.25, 1e300, 0)), x, y)
    # the set ends at the last finite points, x = 0.3, and before the overflow at x = -0.3
    assert level_set(walled, RISE).area == pytest.approx(0.5 * 1, rel=0.01)


def test_a_set_among_points_that_were_not_computed_is_unknown():
    x, y = grid(21, 21)
    computed = np.ones((21, 21), dtype=bool)
    computed[0, 0] = False
    assert math.isnan(level_set(surface(paraboloid(1, 1), x, y, computed), RISE).area)
    beside = surface(lambda x, y: np.full(x.shape, np.nan), x, y)
    assert math.isnan(level_set(beside, RISE).area)


@pytest.mark.parametrize(
    ("a", "b", "touches"), [(0.11, 0.11, False), (0.09, 0.5, True), (0.5, 0.09, True), (0, 0, True)]
)
def test_a_set_that_touches_the_border_has_no_size(a, b, touches):
    found = level_set(surface(paraboloid(a, b), *grid(41, 41)), RISE)
    assert found.touches_border == touches == math.isnan(found.area) == math.isnan(found.width)
    assert found.unknown == ("the set goes on beyond the plane" if touches else "")
