import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from lossatlas.landscape import sharpness
from lossatlas.landscape.sharpness import (
    LEVEL,
    MEASURES,
    NoCentreError,
    convex_radius,
    convex_share,
    convexity,
    correlations,
    has_learnt,
    level_set,
    mean_loss,
    nonconvex_level,
    plane_numbers,
    profile_numbers,
    radius,
    rank_correlation,
    spread,
)
from lossatlas.results import Plane, Profile


def grid(nx=25, ny=21, reach=1.0, reach_y=None):
    return np.linspace(-reach, reach, nx), np.linspace(-(reach_y or reach), reach_y or reach, ny)


def surface(function, x=None, y=None, computed=None):
    """A plane whose training loss is `function`; the other values are not looked at."""
    if x is None:
        x, y = grid()
    loss = np.asarray(function(*np.meshgrid(x, y, indexing="ij")), dtype=float)
    other = np.full(loss.shape, np.nan)
    mask = np.ones(loss.shape, dtype=bool) if computed is None else computed
    return Plane(x=x, y=y, train_loss=loss, train_accuracy=other, test_loss=other, test_accuracy=other, computed=mask)


def rows(*functions, alpha=None, curvature=None, computed=None):
    """A profile whose rows are functions of alpha."""
    alpha = np.linspace(-1, 1, 21) if alpha is None else np.asarray(alpha, dtype=float)
    loss = np.array([np.asarray(f(alpha), dtype=float) * np.ones(len(alpha)) for f in functions])
    other = np.full(loss.shape, np.nan)
    return Profile(
        alpha=alpha,
        train_loss=loss,
        train_accuracy=other,
        test_loss=other,
        test_accuracy=other,
        computed=np.ones(loss.shape, dtype=bool) if computed is None else computed,
        curvature=np.full(len(loss), np.nan) if curvature is None else np.asarray(curvature, dtype=float),
        rows=tuple(map(str, range(len(loss)))),
    )


def paraboloid(a, b, c=0.0):
    return lambda x, y: a * x**2 + b * y**2 + c


# radii of a mean curve


@pytest.mark.parametrize("c", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize("n", [5, 21, 401])
def test_radii_of_a_parabola_are_exact_at_any_resolution(c, n):
    found = profile_numbers(rows(lambda t: c + 5 * t**2, alpha=np.linspace(-1, 1, n)))
    assert found["doubling_radius"] == pytest.approx(math.sqrt(c / 5), rel=1e-9)
    assert found["level_radius"] == pytest.approx(math.sqrt(LEVEL / 5), rel=1e-9)


def test_the_mean_is_over_rows_and_both_signs():
    # the mean of the four half-lines is c + (1 + 2 + 3 + 10) / 4 t^2
    both = rows(lambda t: 0.1 + np.where(t < 0, 1, 2) * t**2, lambda t: 0.1 + np.where(t < 0, 3, 10) * t**2)
    reach, loss = mean_loss(both)
    np.testing.assert_allclose(reach, np.linspace(0, 1, 11), atol=1e-15)
    np.testing.assert_allclose(loss, 0.1 + 4 * reach**2, rtol=1e-12)
    assert radius(both, 0.1 + 0.5) == pytest.approx(math.sqrt(0.5 / 4), rel=1e-9)


def test_sides_of_different_length_and_points():
    found = mean_loss(rows(lambda t: t**2, alpha=[-0.5, -0.25, 0, 0.1, 0.5, 2]))
    np.testing.assert_allclose(found[0], [0, 0.1, 0.25, 0.5])
    np.testing.assert_allclose(found[1], [0, 0.01, 0.0625, 0.25])
    one_sided = mean_loss(rows(lambda t: t, alpha=[0, 1, 2]))
    np.testing.assert_array_equal(one_sided, [[0, 1, 2], [0, 1, 2]])


def test_a_level_that_is_not_reached_is_beyond():
    flat = rows(lambda t: 1 + 0.01 * t**2)
    found = profile_numbers(flat)
    assert found["doubling_radius"] == found["level_radius"] == math.inf
    assert radius(flat, 0.5) == 0.0  # the centre is above it


def test_the_smallest_radius_counts_when_the_curve_comes_back():
    found = radius(rows(lambda t: np.sin(3 * np.abs(t)) ** 2, alpha=np.linspace(-1, 1, 2001)), 0.5)
    assert found == pytest.approx(math.pi / 12, rel=1e-4)
    # below the centre on the way
    dips = radius(rows(lambda t: 1 - t**2 + 4 * t**4, alpha=np.linspace(-1, 1, 2001)), 1.5)
    assert dips == pytest.approx(math.sqrt((1 + 3) / 8), rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_infinitely_high(bad):
    # finite up to 0.3: the level lies behind
    one = rows(lambda t: np.where(np.abs(t) > 0.35, bad, 0.1 + t**2), lambda t: 0.1 + t**2)
    assert radius(one, 0.6) == pytest.approx(0.3)
    assert radius(one, 0.1 + 0.04) == pytest.approx(0.2)


def test_losses_that_were_not_computed_give_no_radius():
    alpha = np.linspace(-1, 1, 5)
    missing = rows(lambda t: 0.1 + np.where(t == 1, np.nan, t**2), alpha=alpha, computed=(alpha < 1)[None])
    found = profile_numbers(missing)
    assert np.isnan([found["doubling_radius"], found["level_radius"]]).all()


def test_a_loss_of_zero_does_not_double():
    assert math.isnan(profile_numbers(rows(lambda t: t**2))["doubling_radius"])


def test_curvature_is_the_mean_of_the_rows_that_are_known():
    flat = (lambda t: 1 + t**2,) * 3
    found = profile_numbers(rows(*flat, curvature=[1.0, np.nan, 4.0]))
    assert found["curvature"] == 2.5 and found["curvature_std"] == pytest.approx(1.5 * math.sqrt(2))
    assert math.isnan(profile_numbers(rows(*flat))["curvature"])
    assert math.isnan(profile_numbers(rows(flat[0], curvature=[1.0]))["curvature_std"])


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


# convexity


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
    convex, counted = convexity(bent)
    assert convex.shape == counted.shape == (7, 3) and counted.all()
    assert convex.all(axis=1).tolist() == convex.any(axis=1).tolist() == [True] * 6 + [False]
    turned = Plane(
        x=y, y=x, train_loss=bent.train_loss.T, train_accuracy=bent.train_accuracy.T, test_loss=bent.test_loss.T,
        test_accuracy=bent.test_accuracy.T, computed=bent.computed.T,
    )  # fmt: skip
    assert np.array_equal(convexity(turned)[0], convex.T)
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
    convex, counted = convexity(plane)
    assert counted.all() and (~convex).sum() == 4
    assert convex_share(plane) == pytest.approx(1 - 4 / 63)
    # of these the lowest finite one
    assert nonconvex_level(plane) == pytest.approx(1 + 0.6**2 + 0.5**2)


def test_points_that_were_not_computed_do_not_count():
    x, y = grid(11, 9)
    computed = np.ones((11, 9), dtype=bool)
    computed[:4] = False
    plane = surface(lambda x, y: np.where(x < -0.3, np.nan, 1 + x**2 - y**2), x, y, computed)
    assert convexity(plane)[1].sum() == 5 * 7
    assert convex_share(plane) == 0.0
    assert math.isnan(convex_share(surface(paraboloid(1, 1), x, y, np.zeros((11, 9), dtype=bool))))


def test_one_point_is_no_plane():
    found = plane_numbers(surface(paraboloid(1, 1), np.zeros(1), np.linspace(-1, 1, 5)))
    assert all(math.isnan(found[name]) for name in ("convex_share", "level_width", "rise_area"))
    single = profile_numbers(rows(lambda t: 1 + t**2, alpha=[0.0], curvature=[2.0]))
    assert (single["curvature"], single["level_radius"]) == (2.0, math.inf)


def test_a_plane_too_small_for_differences():
    plane = surface(paraboloid(1, 1), np.array([-1.0, 0, 1]), np.array([0.0, 1]))
    assert convexity(plane)[0].shape == (1, 0)
    assert all(math.isnan(measure(plane)) for measure in (convex_share, convex_radius, nonconvex_level))


# level sets


@pytest.mark.parametrize(("nx", "ny"), [(15, 15), (15, 41), (41, 15), (51, 51), (251, 201)])
def test_the_area_of_an_ellipse(nx, ny):
    a, b = 0.4, 1.1  # loss <= 0.1 within the half axes sqrt(0.1 / a) = 0.5 and 0.30
    found = level_set(surface(paraboloid(a, b), *grid(nx, ny)), LEVEL)
    area = math.pi * LEVEL / math.sqrt(a * b)
    # exact but for the fine cells along the edge
    assert found.area == pytest.approx(area, rel=0.004)
    assert found.width == pytest.approx(2 * math.sqrt(found.area / math.pi))
    assert not found.touches_border


def test_a_set_smaller_than_the_grid():
    # half axes of 0.06 and 0.03 on a step of 0.14
    found = level_set(surface(paraboloid(27.8, 111.1, 1e-4), *grid(15, 15)), LEVEL)
    assert found.area == pytest.approx(math.pi * 0.06 * 0.03, rel=0.02)


@pytest.mark.parametrize(("n", "bound"), [(15, 0.12), (57, 0.02), (201, 0.005)])
def test_a_set_across_the_axes_is_as_narrow_as_said(n, bound):
    # half axes of 0.5 and 0.25 at 45 degrees: 3.5 and 1.75 steps of 15 points
    found = level_set(surface(lambda x, y: 0.05 + 0.1 * (x + y) ** 2 + 0.4 * (x - y) ** 2, *grid(n, n)), 0.1)
    area = math.pi * 0.05 / math.sqrt(0.2 * 0.8)
    assert area * (1 - bound) < found.area < area * 1.003


def test_the_relative_set_goes_with_the_centre():
    low, high = (plane_numbers(surface(paraboloid(0.4, 1.1, c), *grid(41, 41))) for c in (0.02, 0.5))
    assert low["rise_area"] == pytest.approx(high["rise_area"], rel=1e-3)
    assert low["rise_area"] == pytest.approx(math.pi * 0.1 / math.sqrt(0.44), rel=0.005)
    assert low["level_area"] == pytest.approx(math.pi * 0.08 / math.sqrt(0.44), rel=0.005)
    assert math.isnan(high["level_area"]) and math.isnan(high["level_width"])
    assert (low["plane_train_loss_centre"], high["plane_train_loss_centre"]) == (0.02, 0.5)


def test_only_the_component_about_the_centre_counts():
    x, y = grid(201, 101, reach=3.0, reach_y=1.0)
    wells = surface(lambda x, y: np.minimum(x**2, (np.abs(x) - 2) ** 2) + y**2, x, y)
    assert level_set(wells, 0.25).area == pytest.approx(math.pi * 0.25, rel=0.01)
    # at the height of the passes the three are one
    assert level_set(wells, 1.1).area > 2 * math.pi


def test_a_set_that_leaves_the_plane_is_flagged():
    x, y = grid(21, 21)
    open_valley = surface(paraboloid(2.5, 0.0), x, y)
    found = level_set(open_valley, LEVEL)
    assert found.touches_border and found.area == pytest.approx(0.4 * 2, rel=0.01)
    assert plane_numbers(open_valley)["touches_border"] == ["level", "rise"]
    assert plane_numbers(surface(paraboloid(2.5, 2.5), x, y))["touches_border"] == []


def test_a_centre_on_the_border():
    found = level_set(surface(paraboloid(1, 1), np.linspace(0, 1, 41), np.linspace(-1, 1, 41)), 0.25)
    assert found.touches_border and found.area == pytest.approx(math.pi * 0.25 / 2, rel=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_walls_of_losses_that_are_not_finite(bad):
    x, y = grid(21, 21)
    walled = surface(lambda x, y: np.where(np.abs(x) > 0.35, bad, 0.01 * y**2 + np.where(x < -0.25, 1e300, 0)), x, y)
    # the set ends at the last finite points, x = 0.3, and before the overflow at x = -0.3
    assert level_set(walled, LEVEL).area == pytest.approx(0.5 * 2, rel=0.01)


def test_a_set_among_points_that_were_not_computed_is_unknown():
    x, y = grid(21, 21)
    computed = np.ones((21, 21), dtype=bool)
    computed[0, 0] = False
    assert math.isnan(level_set(surface(paraboloid(1, 1), x, y, computed), LEVEL).area)
    beside = surface(lambda x, y: np.full(x.shape, np.nan), x, y)
    assert math.isnan(level_set(beside, LEVEL).area)


def test_sharper_is_what_the_table_says():
    x, y = grid(41, 41)

    def numbers(k):
        line = rows(lambda t: 0.01 + 0.6 * k * t**2 - 0.2 * k * t**4, curvature=[1.2 * k])
        return profile_numbers(line) | plane_numbers(
            surface(lambda x, y: 0.01 + k * np.sin(1.4 * x) ** 2 + k * np.sin(1.4 * y) ** 2, x, y)
        )

    flat, sharp = numbers(1.0), numbers(4.0)
    for name in set(MEASURES) - {"convex_share", "convex_radius", "nonconvex_level"}:
        assert (sharp[name] > flat[name]) == (MEASURES[name].larger == "sharper"), name
    assert flat["nonconvex_level"] < math.inf and flat["convex_share"] < 1  # they depend on the shape, not the height
    assert {name for name in MEASURES if MEASURES[name].larger == "sharper"} == {"curvature"}
    assert set(MEASURES) < set(flat) | {"curvature_std", "touches_border"}


# ranks


def test_spearman_by_hand():
    # ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
    found = rank_correlation([10, 20, 30, 40, 50], [0.2, 0.1, 0.4, 0.3, 0.5])
    assert (found["spearman"], found["runs"]) == (pytest.approx(0.8), 5)
    # of the 120 orders, those with a sum of squared differences up to 4 or from 36 on
    squares = [sum((a - b) ** 2 for a, b in enumerate(order)) for order in itertools.permutations(range(5))]
    assert found["p_value"] == pytest.approx(sum(s <= 4 or s >= 36 for s in squares) / 120)


def test_spearman_with_ties_and_infinities():
    # ranks 1 2.5 2.5 4 against 1 2 3 4
    found = rank_correlation([1, math.inf, math.inf, 3, math.nan][::-1], [4, 3, 2, 1, 7][::-1])
    assert found["runs"] == 4
    # ranks 1 3.5 3.5 2 against 4 3 2 1: covariance of ranks over the product of their spreads
    expected = np.corrcoef([1, 3.5, 3.5, 2], [4, 3, 2, 1])[0, 1]
    assert found["spearman"] == pytest.approx(expected)


def test_three_runs_in_order_prove_little():
    found = rank_correlation([1, 2, 3], [0.3, 0.2, 0.1])
    assert found == {"spearman": pytest.approx(-1), "runs": 3, "p_value": pytest.approx(2 / 6)}


def test_many_runs_have_scipys_p_value():
    draws = np.random.default_rng(0)
    x = draws.normal(size=20)
    y = x + draws.normal(size=20)
    found = rank_correlation(x, y)
    reference = sharpness.stats.spearmanr(x, y)
    assert found["spearman"] == pytest.approx(reference.statistic)
    assert found["p_value"] == pytest.approx(reference.pvalue)
    # at the change from one to the other the two agree roughly
    exact, approximate = rank_correlation(x[:8], y[:8]), sharpness.stats.spearmanr(x[:8], y[:8])
    assert exact["spearman"] == pytest.approx(approximate.statistic)
    assert exact["p_value"] == pytest.approx(approximate.pvalue, abs=0.02)


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, math.nan], [1, 1, 1, 1]])
def test_too_few_runs_or_no_order_have_no_correlation(values):
    found = rank_correlation(values, [0.1 * i for i in range(len(values))])
    assert math.isnan(found["spearman"]) and math.isnan(found["p_value"])
    assert found["runs"] == sum(not math.isnan(v) for v in values)


def run(error, curvature):
    return {"test_error": error, "curvature": curvature}


def test_groups_hold_their_runs_and_no_repeats():
    names = {
        "vgg9": ["vgg9", "vgg9_nowd", "vgg9_adam_large_nowd"],
        "resnet56": ["resnet56", "resnet56_large", "resnet56_adam", "resnet56_adam_large_nowd"],
        None: ["resnet56_noshort", "resnet56_noshort_lr001", "resnet20", "vgg9_seed1", "vgg9_large_seed2"],
    }
    runs = {name: run(0.1 + 0.01 * i, i) for i, name in enumerate(sum(names.values(), []))}
    found = correlations(runs)
    assert {group: c["curvature"]["runs"] for group, c in found.items()} == {"vgg9": 3, "resnet56": 4, "all": 10}
    assert found["all"]["curvature"]["spearman"] == pytest.approx(1)
    assert found["all"]["doubling_radius"]["runs"] == 0
    assert set(found["vgg9"]) == set(MEASURES)


def test_runs_that_have_learnt_nothing_do_not_count():
    runs = {str(i): run(0.1 * i, i) | {"learnt": True} for i in range(4)} | {"flat": run(0.9, 0) | {"learnt": False}}
    assert correlations(runs)["all"]["curvature"] == rank_correlation(range(4), [0.1 * i for i in range(4)])
    assert has_learnt(2.0, 10) and not has_learnt(2.1, 10) and has_learnt(2.1, 100)


def test_spread_is_over_the_run_and_its_repeats():
    runs = {"a": run(0.1, 1.0), "a_seed1": run(0.2, 2.0), "a_seed2": run(0.3, 6.0), "b": run(0.1, 1.0)}
    runs |= {"c": run(0.1, math.inf), "c_seed1": run(0.1, 1.0)}
    found = spread(runs)
    assert set(found) == {"a", "c"}
    assert found["a"]["seeds"] == 3
    assert found["a"]["test_error"] == pytest.approx(0.1)
    assert found["a"]["curvature"] == pytest.approx(math.sqrt(7))
    assert math.isnan(found["a"]["level_width"]) and math.isnan(found["c"]["curvature"])


def test_no_torch_is_needed():
    code = "import sys; import lossatlas.landscape.sharpness; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
