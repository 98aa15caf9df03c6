"""Principal components against brute force, scikit-learn and the authors' program; paths on planes of the loss."""

import h5py
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from engine.cases import brute_force
from landscape.cases import SHARED, small_data, small_model
from landscape.path_cases import random_states, rows, vector
from lossatlas.landscape.directions import direction_between, random_direction
from lossatlas.landscape.points import displaced
from lossatlas.landscape.projection import project
from lossatlas.landscape.trajectories import (
    explained_variance,
    learning_rate_drops,
    plane_axes,
    principal_axes,
    trajectory,
)
from lossatlas.landscape.weightpath import StraightPathError, WeightPath
from lossatlas.results import History

NAMES = ["a.weight", "a.bias", "b.weight"]
GOLDEN_EPOCHS = (0, 3, 6, 9, 12)
GOLDEN_FILES = [SHARED / "golden" / f"resnet20_bs128_wd5e-4_model_{epoch}.t7" for epoch in GOLDEN_EPOCHS]


@pytest.mark.skipif(not all(file.exists() for file in GOLDEN_FILES), reason="the checkpoints are not beside")
def test_golden_path():
    with h5py.File(SHARED / "golden" / "resnet20_bs128_wd5e-4.h5") as file:
        golden = {name: data[()] for name, data in file["trajectory"].items()}
    path = WeightPath.of(GOLDEN_FILES)
    # measured: 0.03 of this tolerance
    np.testing.assert_allclose(explained_variance(path)[:2], golden["explained_variance_ratio"], rtol=0, atol=1e-5)
    found = project(path, principal_axes(path))
    signs = np.sign(golden["coordinates"][0])
    # measured: 0.02 of this tolerance
    np.testing.assert_allclose(found.coordinates, signs * golden["coordinates"], rtol=1e-4, atol=0)
    np.testing.assert_allclose(found.captured, golden["explained_variance_ratio"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("exclude_1d", [False, True])
def test_components_are_those_of_scikit_learn(exclude_1d):
    states = random_states()
    names = [name for name in NAMES if not exclude_1d or states[0][name].dim() > 1]
    path, whole = WeightPath.of(states, exclude_1d=exclude_1d), rows(states, names)
    pca = PCA(n_components=5).fit(whole)
    np.testing.assert_allclose(explained_variance(path), pca.explained_variance_ratio_, rtol=1e-9)
    directions = principal_axes(path, count=5)
    found = np.stack([vector(direction, names) for direction in directions])
    signs = np.sign((pca.components_ * found).sum(axis=1))
    np.testing.assert_allclose(found, signs[:, None] * pca.components_, atol=1e-9)
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-12)
    coordinates = project(path, directions).coordinates
    np.testing.assert_allclose(coordinates, whole @ found.T, atol=1e-10)
    assert (coordinates[0] > 0).all()
    assert [(d.kind, d.weights, d.exclude_1d) for d in directions] == [("pca", path.final, exclude_1d)] * 5


def test_components_about_the_last_checkpoint_are_singular_vectors():
    states = random_states()
    path, whole = WeightPath.of(states), rows(states, NAMES)
    _, singular, right = np.linalg.svd(whole, full_matrices=False)
    found = np.stack([vector(direction, NAMES) for direction in principal_axes(path, centred=False)])
    np.testing.assert_allclose(np.abs((found * right[:2]).sum(axis=1)), 1, atol=1e-12)
    ratios = explained_variance(path, centred=False)
    np.testing.assert_allclose(ratios, (singular**2 / (singular**2).sum())[:5], rtol=1e-9)
    captured = project(path, principal_axes(path, centred=False), centred=False).captured
    np.testing.assert_allclose(captured, ratios[:2], rtol=1e-9)
    assert np.abs(ratios - explained_variance(path)).max() > 0.01


def test_states_follow_running_statistics_too():
    states = random_states()
    for i, state in enumerate(states):
        state["n.running_mean"] += 100 * i
    (first,) = principal_axes(WeightPath.of(states, span="states"), count=1)
    assert first.span == "states" and float(first.tensors["n.running_mean"].norm()) > 0.9
    (first,) = principal_axes(WeightPath.of(states), count=1)
    assert first.span == "weights" and "n.running_mean" not in first.tensors


def test_fewer_weights_than_checkpoints():
    states = random_states(5, shapes={"w.weight": (1, 2)})
    assert explained_variance(WeightPath.of(states)).shape == (2,)


def straight_states(dtype):
    start, end = random_states(2, dtype=dtype)
    return [{name: torch.lerp(start[name], end[name], t) for name in NAMES} for t in (0.0, 0.2, 0.7, 1.0)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_straight_line_is_one_component(dtype):
    states = straight_states(dtype)
    path = WeightPath.of(states)
    assert explained_variance(path)[0] == pytest.approx(1, abs=1e-10)
    (axis,) = principal_axes(path, count=1)
    difference = rows(states, NAMES)[0]
    np.testing.assert_allclose(vector(axis, NAMES), difference / np.linalg.norm(difference), atol=1e-6)
    found = project(path, [axis])
    length = np.linalg.norm(difference)
    np.testing.assert_allclose(found.coordinates[:, 0], length * np.array([1, 0.8, 0.3, 0]), rtol=1e-5)
    text = r"the path of 4 checkpoints has 1 principal component\(s\), fewer than count = 2; keep checkpoints from more"
    with pytest.raises(StraightPathError, match=text):
        principal_axes(path)


def test_signs_do_not_depend_on_a_first_checkpoint_without_a_coordinate():
    draws = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = ((0, 0), (-5, 0), (-4, -1), (0, 0))
    states = [{"w": a * draws[0] + b * draws[1]} for a, b in points]
    coordinates = project(WeightPath.of(states), principal_axes(WeightPath.of(states))).coordinates
    assert (coordinates[1] > 0).all() and np.abs(coordinates[0]).max() < 1e-12


def test_random_axes_are_filter_normalized():
    states = random_states()
    axes = plane_axes(WeightPath.of(states, exclude_1d=True), "random", seed=4)
    for axis, stream in zip(axes, ("direction_x", "direction_y"), strict=True):
        expected = random_direction(states[-1], seed=4, stream=stream)
        assert axis.description() == expected.description()
        assert all(torch.equal(axis.tensors[name], expected.tensors[name]) for name in ("a.weight", "b.weight"))


@pytest.mark.parametrize(("span", "exclude_1d"), [("weights", False), ("weights", True), ("states", False)])
def test_the_second_axis_to_the_start_ends_there(span, exclude_1d):
    states = random_states()
    path = WeightPath.of(states, span=span, exclude_1d=exclude_1d)
    x, y = plane_axes(path, "random_and_start", seed=4)
    whole = direction_between(states[-1], states[0], span=span)
    assert (x.kind, y.kind, y.end, y.span, y.exclude_1d) == ("random", "between", whole.end, span, exclude_1d)
    assert tuple(y.tensors) == path.names
    assert all(torch.equal(y.tensors[name], whole.tensors[name]) for name in path.names)
    np.testing.assert_allclose(project(path, (x, y)).coordinates[[0, -1]], [[0, 1], [0, 0]], atol=1e-12)


def test_unknown_axes_are_refused():
    with pytest.raises(ValueError, match="axes = 'best' is unknown; allowed: pca, random, random_and_start"):
        plane_axes(WeightPath.of(random_states()), "best")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.1, 0.1, 0.1], ()),
        ([0.1, 0.1, 0.01, 0.01, 0.001], ("2", "4")),
        ([0.1, 0.2, 0.1], ("2",)),
        ([], ()),
    ],
)
def test_drops_are_the_epochs_before_a_lower_rate(rates, expected):
    column = np.zeros(len(rates) + 1)
    names = ("train_loss", "train_error", "test_loss", "test_error", "weight_norm")
    steps = {name: np.zeros(0) for name in ("step_learning_rate", "step_weight_norm")}
    history = History(
        epoch=np.arange(len(column)),
        **dict.fromkeys(names, column),
        learning_rate=np.array([np.nan, *rates]),
        step=np.arange(0),
        **steps,
    )
    assert learning_rate_drops(history) == expected


def walk(model, n=5):
    """Checkpoints on a bent path in a plane, i^2 u + i v from the network's own weights, which are the last."""
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    u, v = (random_direction(last, seed=seed, exclude_1d=False, normalization="none").tensors for seed in (1, 2))
    return [
        {name: t + 0.02 * (i**2 * u[name] + i * v[name]) if name in u else t for name, t in last.items()}
        for i in range(n - 1, -1, -1)
    ]


@pytest.mark.parametrize("axes", ["pca", "random", "random_and_start"])
def test_a_path_on_a_plane_of_the_loss(axes):
    model, data = small_model(), small_data()
    states = walk(model)
    options = {"axes": axes, "points": 4, "margin": 0.2, "seed": 5, "epochs": [0, 2, 3, 5, 9], "drops": ("3",)}
    found = trajectory(model, states, data, **options)
    path, plane = found.trajectory, found.plane
    assert path.epoch.tolist() == options["epochs"] and (path.axes, path.drops) == (axes, ("3",))
    names = [name for name, _ in model.named_parameters()]
    np.testing.assert_allclose(path.distance, np.linalg.norm(rows(states, names), axis=1))
    assert (path.path_x[-1], path.path_y[-1], path.distance[-1]) == (0, 0, 0)
    for axis, column in ((plane.x, path.path_x), (plane.y, path.path_y)):
        np.testing.assert_allclose(
            axis, np.linspace(column.min() - 0.2 * np.ptp(column), column.max() + 0.2 * np.ptp(column), 4)
        )
    assert path.spectrum.shape == (4,) and path.spectrum.sum() == pytest.approx(1)
    assert plane.train_loss.shape == (4, 4) and plane.computed.all() and np.isnan(plane.test_loss).all()
    assert np.isnan(path.alignment[0]) and ((path.alignment[1:] >= 0) & (path.alignment[1:] <= 1)).all()
    if axes == "pca":
        # the path bends in a plane
        np.testing.assert_array_equal(path.captured, path.spectrum[:2])
        assert path.captured.sum() == pytest.approx(1)
        lengths = np.hypot(path.path_x, path.path_y)
        np.testing.assert_allclose(lengths, path.distance, atol=1e-10)
    else:
        assert path.captured.sum() < 1
    at = displaced(model.state_dict(), found.directions, (plane.x[1], plane.y[1]))
    loss, accuracy = brute_force(model, at, *data)
    np.testing.assert_allclose(plane.train_loss[1, 1], loss, rtol=1e-9)
    assert plane.train_accuracy[1, 1] == accuracy


def test_paths_that_cannot_be_shown_are_refused():
    model, data = small_model(), small_data()
    states = walk(model)
    with pytest.raises(ValueError, match="checkpoints has 2; a path in a plane needs at least 3: keep more of them"):
        trajectory(model, states[-2:], data)
    with pytest.raises(ValueError, match="epochs has 2 numbers for 5 checkpoints; pass one for each"):
        trajectory(model, states, data, epochs=[0, 1])
    with pytest.raises(ValueError, match="the direction belongs to the weights"):
        trajectory(model, states[:-1], data, points=2)
