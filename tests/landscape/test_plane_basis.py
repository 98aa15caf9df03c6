"""The plane through three points: axes, coordinates and distances, against closed forms and invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.cases import EXACT
from landscape.cases import small_model
from landscape.plane_cases import case, flat, near, parameters
from lossatlas.landscape import plane_basis
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.plane_basis import Basis, NoPlaneError

NAMES = ("one", "two", "three")


@pytest.mark.parametrize("block", [1 << 22, 7])
def test_axes_are_those_of_gram_schmidt_by_hand(monkeypatch, block):
    monkeypatch.setattr(plane_basis, "_BLOCK", block)
    model, points = case()
    names = parameters(model)
    basis = Basis.of(model, points)
    p0, p1, p2 = (flat(point, names) for point in points)
    first = (p1 - p0) / np.linalg.norm(p1 - p0)
    rest = (p2 - p0) - ((p2 - p0) @ first) * first
    expected = np.stack([first, rest / np.linalg.norm(rest)])
    axes = basis.axes()
    np.testing.assert_allclose(np.stack([flat(axis.tensors, names) for axis in axes]), expected, **EXACT)
    known = [[0, 0], [np.linalg.norm(p1 - p0), 0], [(p2 - p0) @ first, np.linalg.norm(rest)]]
    np.testing.assert_allclose(basis.coordinates, known, **EXACT)
    for axis in axes:
        axis.require(points[0])
        assert axis.kind == "gram_schmidt"


@given(seed=st.integers(0, 1000), lean=st.sampled_from([0.0, 1.0, -30.0, 1e4]))
@settings(max_examples=25, deadline=None)
def test_coordinates_are_true_distances_and_axes_orthonormal(seed, lean):
    model = nn.Linear(3, 2).double()
    p0, p1, step = (near(model, seed=3 * seed + i, by=1) for i in range(3))
    # the third point almost on the line through the others
    p2 = {name: p0[name] + lean * (p1[name] - p0[name]) + step[name] for name in p0}
    basis = Basis.of(model, (p0, p1, p2))
    names = parameters(model)
    vectors = np.stack([flat(axis.tensors, names) for axis in basis.axes()])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(2), rtol=0, atol=1e-9)
    whole = np.stack([flat(point, names) for point in (p0, p1, p2)])
    for one in range(3):
        for other in range(3):
            between = np.linalg.norm(basis.coordinates[one] - basis.coordinates[other])
            assert between == pytest.approx(np.linalg.norm(whole[one] - whole[other]), rel=1e-9)
    np.testing.assert_allclose(whole[0] + basis.coordinates @ vectors, whole, rtol=1e-9, atol=1e-9 * abs(whole).max())


def test_parameters_alone_span_the_plane_biases_and_normalization_included():
    model, points = case()
    buffers = {name for name, _ in model.named_buffers()}
    axes = Basis.of(model, points).axes()
    assert set(axes[0].tensors) == set(axes[1].tensors) == set(points[0]) - buffers
    assert {"bn1.weight", "bn1.bias", "linear.bias"} <= set(axes[0].tensors)
    # other running statistics are the same plane
    others = [{**p, **{n: p[n] + 7 for n in buffers}} for p in points[1:]]
    np.testing.assert_array_equal(
        Basis.of(model, (points[0], *others)).coordinates, Basis.of(model, points).coordinates
    )


def test_points_that_span_no_plane_are_refused_by_name():
    model, (p0, p1, p2) = case()
    names = parameters(model)
    with pytest.raises(NoPlaneError, match="one and three coincide, so there is no plane; take three other points"):
        Basis.of(model, (p0, p1, p0), names=NAMES)
    with pytest.raises(NoPlaneError, match="two and three coincide"):
        Basis.of(model, (p0, p1, {**p2, **{name: p1[name] for name in names}}), names=NAMES)
    middle = {name: p0[name] + 0.3 * (p1[name] - p0[name]) for name in names}
    with pytest.raises(NoPlaneError, match="one, two and three lie on one line, so there is no plane"):
        Basis.of(model, (p0, p1, {**p0, **middle}), names=NAMES)
    wild = {**p2, names[0]: p2[names[0]] * float("nan")}
    with pytest.raises(NoPlaneError, match="three holds weights that are not finite"):
        Basis.of(model, (p0, p1, wild), names=NAMES)


@pytest.mark.parametrize("t", [0.5, 1 / 3, -0.1, 40.0])
def test_a_line_in_single_precision_is_seen_through_its_rounding(t):
    model = small_model().float()
    p0, p1 = (near(model, seed=seed, by=0.01) for seed in (1, 2))
    on_line = {**p0, **{name: p0[name] + t * (p1[name] - p0[name]) for name in parameters(model)}}
    with pytest.raises(NoPlaneError, match="lie on one line"):
        Basis.of(model, (p0, p1, on_line))
    # a step across that is small but no rounding
    aside = {**on_line, "linear.bias": on_line["linear.bias"] + torch.tensor([0.01, -0.01, 0.01, -0.01])}
    assert Basis.of(model, (p0, p1, aside)).across == pytest.approx(0.02, rel=0.05)


def test_points_of_another_network_or_number_are_refused():
    model, (p0, p1, p2) = case()
    lacking = {name: tensor for name, tensor in p1.items() if name != "linear.bias"}
    with pytest.raises(ValueError, match=r"two is no point of this network: 'linear.bias' has shape \(4,\), there abs"):
        Basis.of(model, (p0, lacking, p2), names=NAMES)
    with pytest.raises(ValueError, match=r"'linear.bias' has shape \(4,\), there \(1,\)"):
        Basis.of(model, (p0, p1, {**p2, "linear.bias": torch.zeros(1)}), names=NAMES)
    with pytest.raises(ValueError, match="points has 2 and names 3; a plane goes through 3"):
        Basis.of(model, (p0, p1))


def test_further_points_are_projected_and_their_distance_is_what_is_left():
    model, points = case()
    names = parameters(model)
    basis = Basis.of(model, points)
    states = [near(model, seed=seed) for seed in range(6, 10)]
    coordinates, off_plane = basis.follow(iter(states))
    p0, p1, p2 = (flat(point, names) for point in points)
    plane = np.linalg.qr(np.stack([p1 - p0, p2 - p0]).T)[0]
    # the signs of a QR decomposition are free
    plane *= np.sign(np.array([p1 - p0, p2 - p0]) @ plane).diagonal()
    steps = np.stack([flat(state, names) for state in states]) - p0
    np.testing.assert_allclose(coordinates, steps @ plane, **EXACT)
    np.testing.assert_allclose(off_plane, np.linalg.norm(steps - steps @ plane @ plane.T, axis=1), **EXACT)


def test_points_of_the_plane_lie_on_it():
    model, points = case()
    basis = Basis.of(model, points)
    coordinates, off_plane = basis.follow(points)
    np.testing.assert_allclose(coordinates, basis.coordinates, rtol=1e-12, atol=1e-12)
    assert off_plane.max() < 1e-13 * basis.coordinates.max()
    nothing, none = basis.follow([])
    assert nothing.shape == (0, 2) and none.shape == (0,)


def test_blended_points_are_placed_as_if_they_were_built():
    model, points = case()
    names = parameters(model)
    basis = Basis.of(model, points)
    nodes = [points[0], near(model, seed=8), near(model, seed=9), points[1]]
    t = np.linspace(0, 1, 9)[:, None]
    blend = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    built = [
        {**points[0], **{n: sum(c * node[n] for c, node in zip(row, nodes, strict=True)) for n in names}}
        for row in blend.tolist()
    ]
    coordinates, off_plane = basis.follow(nodes, blend=blend)
    expected, distances = basis.follow(built)
    np.testing.assert_allclose(coordinates, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(off_plane, distances, rtol=1e-10, atol=1e-12)
    assert off_plane[[0, -1]].max() < 1e-14 < 0.1 < off_plane.max()


def test_axes_survive_their_file(tmp_path):
    model, points = case()
    for axis in Basis.of(model, points).axes():
        axis.save(tmp_path / "axis.safetensors")
        loaded = Direction.load(tmp_path / "axis.safetensors")
        assert loaded.description() == axis.description()
        assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in axis.tensors.items())
        assert sum(float(t.double().square().sum()) for t in loaded.tensors.values()) == pytest.approx(1, rel=1e-6)
