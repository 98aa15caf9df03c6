"""Coordinates, captured shares, ranges and angles, against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.path_cases import random_states, rows, vector
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.landscape.projection import alignment, enclosing, project
from lossatlas.landscape.weightpath import WeightPath
from lossatlas.results import VALUES, Plane

NAMES = ["a.weight", "a.bias", "b.weight"]
# condition numbers of the skewed directions below are about 1e2
SKEWED = {"rtol": 1e-10, "atol": 1e-10}


def two_directions(state, *, skew=0.0):
    """Random directions of different lengths; the second leans on the first by `skew`."""
    x, y = (random_direction(state, seed=3, stream=s, normalization="none", exclude_1d=False) for s in "xy")
    leaning = {name: 0.1 * y.tensors[name] + skew * x.tensors[name] for name in y.tensors}
    return x, Direction(tensors=leaning, weights=x.weights, kind="random")


@pytest.mark.parametrize("skew", [0.0, 5.0])
def test_known_combinations_are_found_exactly(skew):
    last = random_states(1)[0]
    directions = two_directions(last, skew=skew)
    expected = np.array([[2.0, -3.0], [0.5, 40.0], [-1.0, 0.25], [0.0, 0.0]])
    x, y = (direction.tensors for direction in directions)
    states = [{**last, **{n: last[n] + a * x[n] + b * y[n] for n in NAMES}} for a, b in expected]
    path = WeightPath.of(states)
    found = project(path, directions)
    np.testing.assert_allclose(found.coordinates, expected, **SKEWED)
    assert (found.coordinates[-1] == 0).all()
    vectors = np.stack([vector(direction, NAMES) for direction in directions])
    np.testing.assert_allclose(found.metric, vectors @ vectors.T, **SKEWED)
    # the path lies in the plane: nothing is lost, whatever the axes
    assert found.captured.sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("centred", [True, False])
def test_least_squares_and_shares_are_those_of_a_brute_force(centred):
    states = random_states()
    directions = two_directions(states[-1], skew=5.0)
    found = project(WeightPath.of(states), directions, centred=centred)
    whole = rows(states, NAMES)
    vectors = np.stack([vector(direction, NAMES) for direction in directions])
    solved = np.linalg.lstsq(vectors.T, whole.T, rcond=None)[0].T
    np.testing.assert_allclose(found.coordinates, solved, **SKEWED)
    orthonormal = np.linalg.qr(vectors.T)[0]
    about = whole - (whole.mean(axis=0) if centred else 0)
    shares = ((about @ orthonormal) ** 2).sum(axis=0) / (about**2).sum()
    np.testing.assert_allclose(found.captured, shares, **SKEWED)
    assert 0 < found.captured.sum() < 1


def test_running_statistics_count_only_in_states():
    """A path that moves running statistics alone has no share along directions of weights."""
    states = random_states(4)
    still = [{**states[0], "n.running_mean": state["n.running_mean"]} for state in states]
    directions = two_directions(still[-1])
    found = project(WeightPath.of(still, span="states"), directions)
    np.testing.assert_allclose(found.coordinates, 0, atol=1e-12)
    np.testing.assert_allclose(found.captured, 0, atol=1e-12)


def test_directions_that_span_no_plane_are_refused():
    states = random_states()
    path, (x, _) = WeightPath.of(states), two_directions(states[-1])
    twice = Direction(tensors={n: -2 * t for n, t in x.tensors.items()}, weights=x.weights, kind="random")
    with pytest.raises(ValueError, match="the directions are parallel, so coordinates are not unique"):
        project(path, [x, twice])
    nothing = Direction(tensors={n: 0 * t for n, t in x.tensors.items()}, weights=x.weights, kind="random")
    with pytest.raises(ValueError, match="direction 1 is zero; choose one that moves the weights"):
        project(path, [x, nothing])


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=1, max_size=8),
    st.floats(0.01, 1),
    st.integers(2, 9),
)
def test_ranges_enclose_every_point_with_the_margin(points, margin, count):
    path = np.array([*points, (0.0, 0.0)])
    for axis, column in zip(enclosing(path, margin=margin, points=count), path.T, strict=True):
        assert len(axis) == count and (np.diff(axis) > 0).all()
        assert axis[0] < column.min() and axis[-1] > column.max()
        if np.ptp(column) > 1e-6:
            np.testing.assert_allclose(axis[0], column.min() - margin * np.ptp(column), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(axis[-1], column.max() + margin * np.ptp(column), rtol=1e-9, atol=1e-12)


def test_ranges_of_paths_without_extent():
    x, y = enclosing(np.array([[4.0, 0.0], [0.0, 0.0]]), margin=0.25, points=3)
    np.testing.assert_allclose(x, [-1, 2, 5])
    np.testing.assert_allclose(y, [-1, 0, 1])
    x, y = enclosing(np.zeros((3, 2)), margin=0.5, points=2)
    np.testing.assert_allclose([x, y], [[-0.5, 0.5]] * 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"margin": 0.0}, "margin = 0.0 is impossible; it must be a finite number above 0"),
        ({"points": 1}, "points = 1 is impossible; a range needs at least 2"),
        ({"coordinates": np.array([[np.nan, 0.0]])}, "coordinates are not finite; no range encloses them"),
    ],
)
def test_impossible_ranges_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        enclosing(**{"coordinates": np.zeros((2, 2)), "margin": 0.1, "points": 5, **options})


def surface(loss, *, x=(-3, 3), y=(-2, 4), shape=(61, 31)):
    """A plane whose training loss is a function of the coordinates."""
    xs, ys = np.linspace(*x, shape[0]), np.linspace(*y, shape[1])
    values = {name: np.full(shape, np.nan) for name in VALUES}
    values["train_loss"] = loss(*np.meshgrid(xs, ys, indexing="ij"))
    return Plane(x=xs, y=ys, **values, computed=np.ones(shape, dtype=bool))


def test_steps_across_and_along_the_contours_of_a_bowl():
    bowl = surface(lambda x, y: 0.1 + x**2 + y**2)
    angle = np.pi / 5
    path = np.array([[2, 0], [1, 0], [np.cos(angle), np.sin(angle)], [0, 0]], dtype=float)
    found = alignment(bowl, path, np.eye(2))
    assert np.isnan(found[0])
    # central differences of the logarithm on cells of 0.1 and 0.2; measured: 0.015
    np.testing.assert_allclose(found[1:], [1, 0, 1], atol=0.03)


def test_a_step_at_an_angle_with_the_contours():
    """Losses that depend on x alone: the angle is the step's own, of either sign, on a grid that is not square."""
    valley = surface(lambda x, y: np.exp(x))
    path = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    np.testing.assert_allclose(alignment(valley, path, np.eye(2))[1:], [2**-0.5, 2**-0.5, 0], atol=1e-12)


def test_angles_are_those_of_weight_space():
    """A bowl in weight space, drawn along skewed directions of other lengths, gives the same angles."""
    axes = np.array([[1.0, 0.0], [0.6, 0.4]])  # rows: the directions in an orthonormal frame of the plane
    straight = np.array([[1.0, 0.3], [0.4, 0.6], [0.5, 0.1], [0.0, 0.0]])

    def loss(u, v):
        return 0.1 + 3 * u**2 + v**2

    plain = surface(loss, shape=(241, 241))
    skewed = surface(lambda x, y: loss(x + 0.6 * y, 0.4 * y), shape=(241, 241))
    expected = alignment(plain, straight, np.eye(2))
    found = alignment(skewed, straight @ np.linalg.inv(axes), axes @ axes.T)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.abs(alignment(skewed, straight @ np.linalg.inv(axes), np.eye(2)) - expected)[1:].max() > 0.1


def test_angles_that_cannot_be_told_are_missing():
    path = np.array([[-2.5, 0.0], [-2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    bowl = surface(lambda x, y: np.where(x < -1.8, np.inf, 0.1 + x**2 + y**2))
    assert np.isnan(alignment(bowl, path, np.eye(2))).tolist() == [True, True, False, True, False]
    flat = surface(lambda x, y: 0 * x + 2)
    assert np.isnan(alignment(flat, path, np.eye(2))).all()
    zero = surface(lambda x, y: 0 * x)
    assert np.isnan(alignment(zero, path, np.eye(2))).all()
    # where float32 rounds the loss to zero it is flat, and not infinitely steep beside it
    floor = surface(lambda x, y: np.maximum(x, 0.0) ** 2)
    found = alignment(floor, np.array([[-3.0, 0.0], [-1.0, 0.0], [2.0, 0.0]]), np.eye(2))
    np.testing.assert_allclose(found, [np.nan, np.nan, 1.0])
