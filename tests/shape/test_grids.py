from dataclasses import fields, replace

import numpy as np
import pytest

from lossatlas.results import SAMPLED, VALUES, SampledPlane
from lossatlas.shape.convexity import convex_share, nonconvex_level
from lossatlas.shape.grids import Grid, NoCentreError, centre, common_grid, grid_of, thinned
from shape.cases import grid, paraboloid, surface


def points(nx, ny=None, reach=1.0):
    """The grid of a plane of so many points."""
    return grid_of(surface(paraboloid(1, 2), *grid(nx, ny or nx, reach)))


@pytest.mark.parametrize(("fine", "coarse", "step"), [(251, 51, 5), (29, 15, 2), (9, 5, 2), (51, 51, 1)])
def test_every_kth_point_is_left(fine, coarse, step):
    plane = surface(lambda x, y: np.sin(9 * x) + y, *grid(fine, fine))
    plane = replace(
        plane, **{name: plane.train_loss + i for i, name in enumerate(VALUES)}, note="n", provenance={"a": 1}
    )
    found = thinned(plane, points(coarse))
    assert np.array_equal(found.x, plane.x[::step]) and len(found.x) == coarse
    np.testing.assert_allclose(found.y, np.linspace(-1, 1, coarse), atol=1e-15)
    for name in (*VALUES, "computed"):
        assert np.array_equal(getattr(found, name), getattr(plane, name)[::step, ::step]), name
    assert (found.note, found.provenance) == ("n", {"a": 1})


def test_a_sampled_plane_keeps_its_standard_errors():
    exact = surface(paraboloid(1, 2), *grid(5, 5))
    noise = np.random.default_rng(0).random((5, 5))
    more = dict.fromkeys(SAMPLED, noise)
    found = thinned(
        SampledPlane(**{item.name: getattr(exact, item.name) for item in fields(exact)}, **more), points(3, 3)
    )
    assert isinstance(found, SampledPlane)
    for name in SAMPLED:
        assert np.array_equal(getattr(found, name), noise[::2, ::2])


def test_axes_are_thinned_each_by_its_own_step():
    plane = surface(lambda x, y: 3 * x + y, *grid(13, 9))
    found = thinned(plane, points(5, 3))
    assert np.array_equal(found.train_loss, plane.train_loss[::3, ::4])
    with pytest.raises(ValueError, match="cannot be thinned"):
        thinned(plane, points(3, 5, 0.5))


@pytest.mark.parametrize(
    ("nx", "ny", "reach", "text"),
    [
        (
            7,
            7,
            1.0,
            "^7 x 7 points over -1 to 1 and -1 to 1 cannot be thinned to 5 x 5 points over -1 to 1 and -1 to 1; ",
        ),
        (5, 6, 1.0, "^5 x 6 points over .* to 5 x 5 points"),
        (3, 3, 1.0, "^3 x 3 points over .* to 5 x 5 points"),
        (5, 5, 0.5, "^5 x 5 points over -0.5 to 0.5 and -0.5 to 0.5 cannot"),
        (9, 9, 2.0, "^9 x 9 points over -2 to 2 and -2 to 2 cannot"),
        (1, 5, 1.0, "^1 x 5 points over -1 to -1 and"),
    ],
)
def test_other_ranges_and_sizes_that_do_not_nest_are_refused(nx, ny, reach, text):
    with pytest.raises(ValueError, match=text):
        thinned(surface(paraboloid(1, 2), *grid(nx, ny, reach)), points(5))


def test_points_that_are_unequally_far_apart():
    axis = np.array([-1.0, -0.5, 0.0, 0.1, 1.0])
    bent = surface(paraboloid(1, 1), axis, axis)
    assert np.array_equal(thinned(bent, Grid((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0))).x, [-1, 0, 1])
    with pytest.raises(ValueError, match="cannot be thinned"):
        thinned(bent, points(5))


def test_the_common_grid_is_the_coarsest_that_the_most_planes_have():
    assert common_grid([points(51)] * 3 + [points(251)] * 2) == points(51)
    assert common_grid([points(29), points(15), points(29)]) == points(15)
    assert common_grid([points(251), points(251)]) == points(251)
    # of one other range or size, all others stay
    assert common_grid([points(3, reach=0.5), points(5), points(5), points(7)]) == points(5)
    # equally many: the coarser one, in any order
    assert common_grid([points(7), points(5)]) == common_grid([points(5), points(7)]) == points(5)
    assert common_grid([]) is None
    assert points(5, 3).size == (5, 3)


def test_a_finer_grid_sees_smaller_waves_unless_it_is_thinned():
    def wavy(x, y):
        return 1 + x**2 + y**2 + 1e-3 * np.cos(60 * x)

    fine, coarse = (surface(wavy, *grid(n, n)) for n in (251, 51))
    assert convex_share(fine) < convex_share(coarse) - 0.1
    small = thinned(fine, grid_of(coarse))
    assert convex_share(small) == convex_share(coarse)
    assert nonconvex_level(small) == pytest.approx(nonconvex_level(coarse), rel=1e-12)


def test_the_centre_is_found():
    assert centre("x", np.linspace(-1, 1, 5)) == 2
    with pytest.raises(NoCentreError, match="^alpha has 0 points at 0 between -1 and 1; .* an odd number of points"):
        centre("alpha", np.linspace(-1, 1, 4))
    with pytest.raises(ValueError, match="^x does not increase"):
        centre("x", np.array([0.0, -1.0]))
