"""Planes through three points: axes, coordinates, distances and losses, against closed forms and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.cases import CLASSES, EXACT, brute_force, lively, same, snapshot
from landscape.cases import small_data, small_model
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape import points as points_module
from lossatlas.landscape import spanning
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.spanning import Basis, NoPlaneError, plane_through
from lossatlas.models.weights import weights_hash

NAMES = ("one", "two", "three")


def parameters(model):
    return [name for name, _ in model.named_parameters()]


def flat(tensors, names):
    """Tensors by name as one vector."""
    return np.concatenate([tensors[name].detach().double().reshape(-1).numpy() for name in names])


def near(model, *, seed, by=0.1):
    """The network's state after a random step of its parameters and of its running statistics."""
    draws = torch.Generator().manual_seed(seed)

    def step(name, tensor):
        if not tensor.is_floating_point():
            return tensor.clone()
        noise = by * torch.randn(tensor.shape, generator=draws, dtype=torch.float64).to(tensor.dtype)
        return tensor * torch.exp(noise) if name.endswith("running_var") else tensor + noise

    return {name: step(name, tensor.detach()) for name, tensor in model.state_dict().items()}


def moved(state, names, steps):
    """The state after adding vectors by name to its parameters."""
    return {name: tensor + steps[name] if name in names else tensor.clone() for name, tensor in state.items()}


def case(**options):
    model = small_model(**options)
    return model, [near(model, seed=seed) for seed in (3, 4, 5)]


@pytest.mark.parametrize("block", [1 << 22, 7])
def test_axes_are_those_of_gram_schmidt_by_hand(monkeypatch, block):
    monkeypatch.setattr(spanning, "_BLOCK", block)
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


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


def test_tied_weights_are_counted_once_and_move_as_one():
    model = lively(Tied())
    draws = torch.Generator().manual_seed(0)
    examples = torch.randn(9, 6, generator=draws, dtype=torch.float64), torch.arange(9) % CLASSES
    points = []
    for seed in range(3):
        other = lively(Tied(), seed=seed)
        points.append({name: tensor.clone() for name, tensor in other.state_dict().items()})
    found = plane_through(model, points, examples, points_per_axis=3)
    names = [name for name in points[0] if name != "second.weight"]
    assert found.coordinates[1, 0] == pytest.approx(
        np.linalg.norm(flat(points[1], names) - flat(points[0], names)), rel=1e-12
    )
    for axis in found.axes:
        assert torch.equal(axis.tensors["first.weight"], axis.tensors["second.weight"])
    for i, x in enumerate(found.plane.x):
        for j, y in enumerate(found.plane.y):
            at = {n: t + x * found.axes[0].tensors[n] + y * found.axes[1].tensors[n] for n, t in points[0].items()}
            np.testing.assert_allclose(found.plane.train_loss[i, j], brute_force(model, at, *examples)[0], **EXACT)


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


def points_of(plane, points, names):
    """Grid indices and the state at each point of a plane's grid."""
    axes = plane.axes
    for i, x in enumerate(plane.plane.x):
        for j, y in enumerate(plane.plane.y):
            steps = {name: x * axes[0].tensors[name] + y * axes[1].tensors[name] for name in names}
            yield (i, j), moved(points[0], names, steps)


@pytest.mark.parametrize("statistics", ["refreshed", "frozen"])
def test_losses_on_the_plane_and_at_its_points_are_those_of_a_brute_force(statistics):
    model, points = case()
    train, test, clean = small_data(8), small_data(5, seed=9), small_data(11, seed=10)[0]
    before = snapshot(model)
    found = plane_through(
        model,
        points,
        train,
        test,
        statistics=statistics,
        refresh=clean,
        refresh_batch_size=4,
        margin=0.1,
        points_per_axis=4,
        batch_size=3,
    )
    assert same(before, snapshot(model))
    refreshed = Statistics(model, clean, batch_size=4)

    def losses(state):
        state = refreshed(state) if statistics == "refreshed" else state
        return [*brute_force(model, state, *train), *brute_force(model, state, *test)]

    names = parameters(model)
    arrays = [found.plane.train_loss, found.plane.train_accuracy, found.plane.test_loss, found.plane.test_accuracy]
    for at, state in points_of(found, points, names):
        np.testing.assert_allclose([array[at] for array in arrays], losses(state), **EXACT)
    for i, point in enumerate(points):
        # other running statistics than those of the first point do not count
        state = {**points[0], **{name: point[name] for name in names}}
        np.testing.assert_allclose([values[i] for values in found.values.values()], losses(state), **EXACT)
    assert list(found.values) == ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert found.plane.computed.all() and found.plane.note == ""
    layers = {"refreshed": {"examples": 11, "batch_size": 4, "layers": refreshed.layers}}
    about = found.plane.provenance
    assert about["statistics"] == statistics and about["examples"] == [8, 5]
    assert about["refresh"] == layers.get(statistics, {"examples": 0, "batch_size": None, "layers": 0})


def test_the_treatment_of_statistics_makes_a_difference():
    model, points = case()
    train = small_data(8)
    refreshed, frozen = (
        plane_through(model, points, train, statistics=kind, points_per_axis=2) for kind in ("refreshed", "frozen")
    )
    assert (refreshed.plane.train_loss != frozen.plane.train_loss).all()
    # at the second point itself the frozen statistics are those of another network
    own = brute_force(model, points[1], *train)[0]
    assert frozen.values["train_loss"][1] != pytest.approx(own)
    assert frozen.values["train_loss"][0] == pytest.approx(brute_force(model, points[0], *train)[0], rel=1e-12)


def test_a_network_without_batch_normalization_has_nothing_to_refresh():
    model = lively(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)))
    points = [near(model, seed=seed) for seed in range(3)]
    planes = [
        plane_through(model, points, small_data(), statistics=kind, points_per_axis=3).plane
        for kind in ("refreshed", "frozen")
    ]
    np.testing.assert_array_equal(planes[0].train_loss, planes[1].train_loss)
    assert planes[0].provenance["refresh"]["layers"] == 0
    assert np.isnan(planes[0].test_loss).all()


def test_the_grid_encloses_points_and_path_with_a_margin():
    model, points = case()
    path = [near(model, seed=seed, by=0.5) for seed in (7, 8)]
    found = plane_through(model, points, small_data(), path=path, margin=0.25, points_per_axis=3)
    at = np.concatenate([found.coordinates, found.path])
    pad = 0.25 * np.ptp(at, axis=0)
    for axis, low, high in zip((found.plane.x, found.plane.y), at.min(0) - pad, at.max(0) + pad, strict=True):
        np.testing.assert_allclose(axis, np.linspace(low, high, 3))
    expected = Basis.of(model, points).follow(path)
    np.testing.assert_array_equal(found.path, expected[0])
    np.testing.assert_array_equal(found.off_plane, expected[1])


def test_the_network_may_have_any_weights():
    model, points = case()
    one = plane_through(model, points, small_data(), points_per_axis=2)
    other = plane_through(small_model(), points, small_data(), points_per_axis=2)
    at_first = small_model()
    at_first.load_state_dict(points[0])
    third = plane_through(at_first, points, small_data(), points_per_axis=2)
    for found in (other, third):
        np.testing.assert_array_equal(found.plane.train_loss, one.plane.train_loss)
    assert {axis.weights for axis in one.axes} == {weights_hash(points[0])}


def single(n=6):
    model = small_model().float()
    points = [near(model, seed=seed) for seed in range(3)]
    return model, points, small_data(n, dtype=torch.float32)


def test_a_killed_plane_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    model, points, train = single()
    options = {"points_per_axis": 3, "refresh_batch_size": 4}
    plane_through(model, points, train, **options).plane.save(tmp_path / "whole.h5")
    journal = tmp_path / "points.jsonl"
    plane_through(model, points, train, journal=journal, **options)
    lines = journal.read_text().splitlines()
    assert len(lines) == 1 + 9
    journal.write_text("\n".join(lines[:5]) + '\n[6, "0x1.8')
    seen, walked = [], spanning._Losses.__call__
    monkeypatch.setattr(spanning._Losses, "__call__", lambda self, point: seen.append(1) or walked(self, point))
    plane_through(model, points, train, journal=journal, **options).plane.save(tmp_path / "resumed.h5")
    # the grid's points that were lost, and the three points themselves
    assert len(seen) == 9 - 4 + 3
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "resumed.h5").read_bytes()


CHANGES = {
    "statistics": lambda train: {"statistics": "frozen"},
    "batches of the refresh": lambda train: {"refresh_batch_size": 3},
    "examples of the refresh": lambda train: {"refresh": train[0] + 1e-6},
    "margin": lambda train: {"margin": 0.3},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_journal_of_another_plane_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(points_module, "FLUSH_SECONDS", 0)
    model, points, train = single()
    options = {"points_per_axis": 2, "refresh_batch_size": 4, "journal": tmp_path / "points.jsonl"}
    plane_through(model, points, train, **options)
    with pytest.raises(ValueError, match="points.jsonl holds points of another grid .*remove it"):
        plane_through(model, points, train, **options | CHANGES[name](train))


def test_an_unknown_treatment_of_statistics_is_refused():
    model, points, train = single()
    with pytest.raises(ValueError, match="statistics = 'interpolated' is unknown; allowed: refreshed, frozen"):
        plane_through(model, points, train, statistics="interpolated")


def test_axes_survive_their_file(tmp_path):
    model, points, _ = single()
    for axis in Basis.of(model, points).axes():
        axis.save(tmp_path / "axis.safetensors")
        loaded = Direction.load(tmp_path / "axis.safetensors")
        assert loaded.description() == axis.description()
        assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in axis.tensors.items())
        assert sum(float(t.double().square().sum()) for t in loaded.tensors.values()) == pytest.approx(1, rel=1e-6)
