"""The loss on planes through three points, against brute force."""

import numpy as np
import pytest
import torch
from torch import nn

from engine.cases import CLASSES, EXACT, brute_force, lively, same, snapshot
from landscape.cases import small_data, small_model
from landscape.plane_cases import case, flat, near, parameters
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape import points as points_module
from lossatlas.landscape import spanning
from lossatlas.landscape.plane_basis import Basis
from lossatlas.landscape.spanning import plane_through
from lossatlas.models.weights import weights_hash


def moved(state, names, steps):
    """The state after adding vectors by name to its parameters."""
    return {name: tensor + steps[name] if name in names else tensor.clone() for name, tensor in state.items()}


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
    with pytest.raises(ValueError, match="points.jsonl holds points of other data, weights, loss or grid .*remove it"):
        plane_through(model, points, train, **options | CHANGES[name](train))


def test_an_unknown_treatment_of_statistics_is_refused():
    model, points, train = single()
    with pytest.raises(ValueError, match="statistics = 'interpolated' is unknown; allowed: refreshed, frozen"):
        plane_through(model, points, train, statistics="interpolated")


def test_arrays_to_refresh_from_are_in_the_networks_precision():
    model, points, train = single()
    clean = small_data(5, seed=9, dtype=torch.float32)[0]
    one, other = (
        plane_through(model, points, train, refresh=values, points_per_axis=2).plane
        for values in (clean, clean.double().numpy())
    )
    np.testing.assert_array_equal(one.train_loss, other.train_loss)
