import math
import subprocess
import sys

import numpy as np
import pytest

from lossatlas.shape.grids import NoCentreError
from lossatlas.shape.measures import MEASURES, plane_numbers, profile_numbers
from shape.cases import grid, paraboloid, rows, surface


def test_a_loss_of_zero_does_not_double():
    assert profile_numbers(rows(lambda t: t**2)).unknown == {
        "curvature": "it is finite along 0 of 1 directions",
        "doubling_radius": "a loss of 0 does not double",
    }


@pytest.mark.parametrize("alpha", [[-1, -0.5, 0.5, 1], [1, 2]])
def test_a_profile_without_centre_is_refused(alpha):
    with pytest.raises(NoCentreError, match=r"^alpha has 0 points at 0 between .* an odd number of points"):
        profile_numbers(rows(lambda t: t**2, alpha=alpha))


def test_planes_without_centre_or_order_are_refused():
    x, y = grid()
    with pytest.raises(NoCentreError, match="^y has 0 points at 0 between 0.1 and 1"):
        plane_numbers(surface(paraboloid(1, 1), x, np.linspace(0.1, 1, 5)))
    with pytest.raises(ValueError, match="^x does not increase from point to point"):
        plane_numbers(surface(paraboloid(1, 1), x[::-1], y))


def test_one_point_is_no_plane():
    found = plane_numbers(surface(paraboloid(1, 1), np.zeros(1), np.linspace(-1, 1, 5))).values
    assert all(math.isnan(found[name]) for name in ("convex_share", "level_width", "rise_area"))
    single = profile_numbers(rows(lambda t: 1 + t**2, alpha=[0.0], curvature=[2.0])).values
    assert (single["curvature"], single["level_radius"]) == (2.0, math.inf)


def test_the_relative_set_goes_with_the_centre():
    low, high = (plane_numbers(surface(paraboloid(0.4, 1.1, c), *grid(41, 41))).values for c in (0.02, 0.5))
    assert low["rise_area"] == pytest.approx(high["rise_area"], rel=1e-3)
    assert low["rise_area"] == pytest.approx(math.pi * 0.1 / math.sqrt(0.44), rel=0.005)
    assert low["level_area"] == pytest.approx(math.pi * 0.08 / math.sqrt(0.44), rel=0.005)
    assert math.isnan(high["level_area"]) and math.isnan(high["level_width"])
    assert (low["plane_train_loss_centre"], high["plane_train_loss_centre"]) == (0.02, 0.5)


def test_a_set_that_leaves_the_plane_has_no_size():
    x, y = grid(21, 21)
    found = plane_numbers(surface(paraboloid(2.5, 0.0), x, y))
    assert found.values["touches_border"] == ["level", "rise"]
    assert set(found.unknown) == {"level_width", "level_area", "rise_width", "rise_area"}
    assert plane_numbers(surface(paraboloid(2.5, 2.5), x, y)).values["touches_border"] == []
    # the set above the centre reaches out, that of the level does not
    high = plane_numbers(surface(paraboloid(0.09, 0.09, 0.05), x, y))
    assert high.values["touches_border"] == ["rise"] and high.values["level_width"] > 1.4


def test_sharper_is_what_the_table_says():
    x, y = grid(41, 41)

    def numbers(k):
        line = rows(lambda t: 0.01 + 0.6 * k * t**2 - 0.2 * k * t**4, curvature=[1.2 * k])
        plane = surface(lambda x, y: 0.01 + k * np.sin(1.4 * x) ** 2 + k * np.sin(1.4 * y) ** 2, x, y)
        return {**profile_numbers(line).values, **plane_numbers(plane).values}

    flat, sharp = numbers(1.0), numbers(4.0)
    for name in set(MEASURES) - {"convex_share", "convex_radius", "nonconvex_level"}:
        assert (sharp[name] > flat[name]) == (MEASURES[name].larger == "sharper"), name
    assert flat["nonconvex_level"] < math.inf and flat["convex_share"] < 1  # they depend on the shape, not the height
    assert {name for name in MEASURES if MEASURES[name].larger == "sharper"} == {"curvature"}
    assert set(MEASURES) < set(flat)


def test_no_torch_is_needed():
    code = "import sys; import lossatlas.shape.groups, lossatlas.shape.grids; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_number_that_is_not_known_has_its_reason():
    x, y = grid(11, 9)
    planes = {
        "the loss at the centre, 0.5, is above 0.1": surface(paraboloid(1, 1, 0.5), x, y),
        "points of the plane were not computed": surface(paraboloid(1, 1), x, y, np.zeros((11, 9), dtype=bool)),
        "the set goes on beyond the plane": surface(paraboloid(0.01, 1), x, y),
    }
    for reason, plane in planes.items():
        found = plane_numbers(plane)
        assert found.unknown["level_width"] == found.unknown["level_area"] == reason
        missing = {name for name in set(MEASURES) & set(found.values) if math.isnan(found.values[name])}
        assert missing == set(found.unknown)
    assert plane_numbers(surface(paraboloid(1, 1), x, y)).unknown == {}
    lost = profile_numbers(rows(lambda t: np.full(t.shape, np.inf), curvature=[np.nan]))
    assert lost.unknown["level_radius"] == lost.unknown["doubling_radius"] == "the loss at the centre is not finite"


def test_directions_with_a_curvature_are_counted():
    flat = (lambda t: 1 + t**2,) * 3
    found = profile_numbers(rows(*flat, curvature=[1.0, np.nan, 4.0]))
    assert math.isnan(found.values["curvature"]) and found.values["level_radius"] > 0
    assert (found.values["curvature_finite"], found.values["directions"]) == (2, 3)
    assert found.unknown == {"curvature": "it is finite along 2 of 3 directions"}
