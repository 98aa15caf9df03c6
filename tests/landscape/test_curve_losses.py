import numpy as np
import pytest
import torch
from torch import nn

from engine.cases import CLASSES, ModuleTwoNames, Plain, TiedWeights, brute_force, lively, made, same, snapshot
from landscape.cases import small_data
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape import points
from lossatlas.landscape.curve_losses import curve_losses
from lossatlas.landscape.curves import Curve, parameters_of, whole_state
from lossatlas.landscape.directions import direction_between
from lossatlas.landscape.surfaces import line
from lossatlas.models import build
from lossatlas.results import VALUES, CurveLosses

WAYS = ("frozen", "interpolated", "refreshed")
RTOL = 1e-10  # float64, sums in another order
T = np.array([0.0, 0.3, 0.5, 1.0])


def resnet(seed=0):
    return lively(build("resnet", depth=8, base_width=2, num_classes=CLASSES, input_size=8), seed=seed)


def plain(seed=0):
    """A network without batch normalization."""
    return made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.Tanh(), nn.Linear(3, CLASSES)), seed=seed)


def ends(make=resnet):
    """Two networks with different weights and running statistics, and a curve between them."""
    one, two = make(seed=0), make(seed=1)
    for name, buffer in two.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.mul_(1.5).add_(0.1)
    start, end = parameters_of(one), parameters_of(two)
    bend = {name: 0.6 * start[name] + 0.7 * end[name] for name in start}
    return one, two, Curve("bezier", (start, bend, end))


def found_at(curve, one, two, **options):
    return curve_losses(
        one, curve, small_data(7), small_data(5, seed=8), end_state=two.state_dict(), batch_size=3, **options
    )


def state_at(way, t, one, two, curve, *, refresh, batch_size):
    """What a treatment means, tensor by tensor."""
    state = whole_state(one, curve.at(t))
    if way == "interpolated":
        for name, tensor in one.named_buffers():
            if tensor.is_floating_point():
                state[name] = (1 - t) * tensor + t * two.get_buffer(name)
    return Statistics(one, refresh, batch_size=batch_size)(state) if way == "refreshed" else state


@pytest.mark.parametrize(
    "make", [resnet, lambda seed: made(TiedWeights, seed=seed), lambda seed: made(Plain, seed=seed)]
)
def test_every_row_against_brute_force(make):
    one, two, curve = ends(make)
    clean, train, test = small_data(9, seed=5)[0], small_data(7), small_data(5, seed=8)
    found = found_at(curve, one, two, t=T, statistics=WAYS, refresh=clean, refresh_batch_size=4)
    assert found.rows == WAYS and found.train_loss.shape == (3, 4) and found.computed.all() and found.note == ""
    for row, way in enumerate(WAYS):
        for column, t in enumerate(T):
            state = state_at(way, t, one, two, curve, refresh=clean, batch_size=4)
            for name, data in (("train", train), ("test", test)):
                loss, accuracy = brute_force(one, state, *data)
                np.testing.assert_allclose(getattr(found, f"{name}_loss")[row, column], loss, rtol=RTOL)
                assert getattr(found, f"{name}_accuracy")[row, column] == accuracy
    assert len({*found.train_loss.round(12).ravel()}) == 11  # frozen and interpolated begin at the same


def test_the_ends_are_the_two_networks_exactly():
    one, two, curve = (x.float() if isinstance(x, nn.Module) else x for x in ends())
    curve = Curve("bezier", tuple({n: t.float() for n, t in node.items()} for node in curve.nodes))
    data = small_data(7, dtype=torch.float32)
    options = {"end_state": two.state_dict(), "statistics": ("interpolated", "frozen"), "t": [0, 1]}
    found = curve_losses(one, curve, data, **options)
    evaluator = Evaluator(one, {"train": data})
    assert found.train_loss[0].tolist() == [evaluator(m.state_dict())["train"].loss for m in (one, two)]
    assert found.train_loss[1, 0] == found.train_loss[0, 0]
    # frozen, the other end has the start's statistics
    mixed = {**two.state_dict(), **dict(one.named_buffers())}
    assert found.train_loss[1, 1] == evaluator(mixed)["train"].loss != found.train_loss[0, 1]


@pytest.mark.parametrize("kind", ["segment", "chain", "bezier"])
def test_bends_on_the_segment_give_the_losses_of_linear_interpolation(kind):
    one, two, _ = ends()
    curve = Curve.straight(parameters_of(one), parameters_of(two), kind=kind, bends=0 if kind == "segment" else 2)
    found = found_at(curve, one, two, t=T, statistics=("interpolated", "frozen"))
    for row, span in enumerate(("states", "weights")):
        along = direction_between(one.state_dict(), two.state_dict(), span=span)
        expected = line(one, small_data(7), small_data(5, seed=8), direction=along, alpha=T, batch_size=3)
        for name in VALUES:
            np.testing.assert_allclose(getattr(found, name)[row], getattr(expected, name), rtol=1e-8)


def test_distances_and_arc_are_those_of_the_curve():
    one, two, curve = ends()
    found, lengths = found_at(curve, one, two, t=T), curve.lengths(T)
    for name in ("from_start", "from_end", "arc"):
        assert np.array_equal(getattr(found, name), getattr(lengths, name)) and getattr(found, name).any()
    assert len(found_at(curve, one, two).t) == 61


def counted(monkeypatch):
    calls, original = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, state: (calls.append(1), original(self, state))[1])
    return calls


def test_a_network_without_batch_norm_is_evaluated_once_per_point(monkeypatch):
    calls = counted(monkeypatch)
    one, two, curve = ends(plain)
    found = found_at(curve, one, two, t=T, statistics=WAYS)
    assert len(calls) == len(T) and found.provenance["rows_alike"] is True
    assert found.rows == WAYS and found.computed.all()
    for name in VALUES:
        values = getattr(found, name)
        assert values.shape == (3, 4) and (values == values[0]).all()
    assert found.provenance["refresh"] == {"examples": 0, "batch_size": None, "layers": 0}
    for column, t in enumerate(T):
        loss, _ = brute_force(one, whole_state(one, curve.at(t)), *small_data(7))
        np.testing.assert_allclose(found.train_loss[0, column], loss, rtol=RTOL)


def test_buffers_that_differ_are_a_difference_even_without_batch_norm():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(192, CLASSES)
            self.register_buffer("shift", torch.zeros(192))

        def forward(self, x):
            return self.layer(x.flatten(1) + self.shift)

    one, two, curve = ends(lambda seed: made(Shifted, seed=seed))
    two.shift += 1
    found = found_at(curve, one, two, t=T, statistics=WAYS)
    assert np.array_equal(found.train_loss[0], found.train_loss[2])
    assert found.train_loss[0, 0] == found.train_loss[1, 0] and (found.train_loss[0] != found.train_loss[1])[1:].all()
    loss, _ = brute_force(two, two.state_dict(), *small_data(7))
    np.testing.assert_allclose(found.train_loss[1, -1], loss, rtol=RTOL)


def test_by_default_the_training_inputs_refresh_in_batches_of_128():
    one, two, curve = ends()
    default = found_at(curve, one, two, t=T)
    assert default.rows == ("refreshed",) and default.provenance["rows_alike"] is False
    assert default.provenance["refresh"] == {"examples": 7, "batch_size": 128, "layers": 9}
    named = found_at(curve, one, two, t=T, refresh=small_data(7)[0], refresh_batch_size=7)
    np.testing.assert_allclose(named.train_loss, default.train_loss, rtol=1e-14)
    for other in ({"refresh": small_data(9, seed=5)[0]}, {"refresh_batch_size": 2}):
        assert (found_at(curve, one, two, t=T, **other).train_loss != default.train_loss).all()


def test_refreshed_points_do_not_depend_on_what_was_visited_before():
    one, two, curve = ends()
    whole = found_at(curve, one, two, t=T)
    for column, t in enumerate(T):
        assert found_at(curve, one, two, t=[t]).train_loss[0, 0] == whole.train_loss[0, column]


def test_without_a_test_set_its_losses_are_unknown():
    one, _, curve = ends()
    found = curve_losses(one, curve, small_data(7), t=T)
    assert np.isnan(found.test_loss).all() and np.isnan(found.test_accuracy).all() and found.note == ""
    assert found.provenance["examples"] == [7, 0]


def test_lists_are_data():
    one, _, curve = ends()
    inputs, labels = small_data(7)
    given, listed = (
        curve_losses(one, curve, data, t=T, refresh=data[0])
        for data in ((inputs, labels), (inputs.tolist(), labels.tolist()))
    )
    assert np.array_equal(given.train_loss, listed.train_loss)


@pytest.mark.parametrize("training", [True, False])
def test_network_and_curve_are_untouched(training):
    one, two, curve = ends()
    one.train(training)
    before, nodes = snapshot(one), [{n: t.clone() for n, t in node.items()} for node in curve.nodes]
    found_at(curve, one, two, t=T, statistics=WAYS)
    assert same(before, snapshot(one))
    assert all(torch.equal(old[n], node[n]) for old, node in zip(nodes, curve.nodes, strict=True) for n in old)


def test_a_layer_with_two_names():
    one, two, curve = ends(lambda seed: made(ModuleTwoNames, seed=seed))
    found = found_at(curve, one, two, t=T, statistics=("interpolated",))
    loss, _ = brute_force(two, two.state_dict(), *small_data(7))
    np.testing.assert_allclose(found.train_loss[0, -1], loss, rtol=RTOL)


@pytest.mark.parametrize("after", [0, 1, 5, 11])
def test_a_killed_evaluation_goes_on(tmp_path, monkeypatch, after):
    one, two, curve = ends()
    options = {"t": T, "statistics": WAYS, "refresh_batch_size": 4}
    found_at(curve, one, two, **options).save(tmp_path / "whole.h5")
    journal, calls, original = tmp_path / "points.jsonl", [], Evaluator.__call__

    def call(self, state):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return original(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(points, "FLUSH_SECONDS", -1)
        patch.setattr(Evaluator, "__call__", call)
        with pytest.raises(KeyboardInterrupt):
            found_at(curve, one, two, journal=journal, **options)
    assert journal.read_text().count("\n") == 1 + after
    calls = counted(monkeypatch)
    found_at(curve, one, two, journal=journal, **options).save(tmp_path / "resumed.h5")
    assert len(calls) == 12 - after
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert CurveLosses.load(tmp_path / "resumed.h5").rows == WAYS


def test_points_of_another_curve_or_treatment_are_not_taken(tmp_path):
    one, two, curve = ends()
    options = {"t": T, "statistics": WAYS, "journal": tmp_path / "points.jsonl"}
    found_at(curve, one, two, **options)
    nudged = {name: tensor + 1e-12 for name, tensor in curve.nodes[1].items()}
    others = [
        (Curve("bezier", (curve.nodes[0], nudged, curve.nodes[2])), two, {}),
        (Curve("chain", curve.nodes), two, {}),
        (curve, one, {}),  # its buffers
        (curve, two, {"t": T[:3]}),
        (curve, two, {"statistics": WAYS[::-1]}),
        (curve, two, {"refresh_batch_size": 4}),
        (curve, two, {"refresh": small_data(7, seed=5)[0]}),
        (curve, two, {"start_state": two.state_dict()}),
        (curve, two, {"fold": False}),
    ]
    for other, end, changed in others:
        with pytest.raises(ValueError, match="holds points of other data, weights, loss or grid"):
            found_at(other, one, end, **{**options, **changed})
    found_at(curve, one, two, **options)


def test_losses_that_are_not_finite_are_explained():
    one, two, curve = ends(plain)
    huge = {name: tensor * 1e307 * 1e3 for name, tensor in curve.nodes[2].items()}
    found = found_at(Curve("segment", (curve.nodes[0], huge)), one, two, t=T)
    assert found.note == "the weights of node 1 are not finite" and np.isfinite(found.train_loss[0, 0])
    assert np.isnan(found.arc).all()
    large = {name: tensor * 1e250 for name, tensor in curve.nodes[0].items()}
    middle = {name: torch.full_like(tensor, 1e308) for name, tensor in large.items()}
    found = found_at(Curve("chain", (curve.nodes[0], middle, curve.nodes[2])), one, two, t=T)
    assert found.note == "2 points have a loss that overflows"
    assert np.isfinite(found.train_loss[0, [0, 3]]).all() and not np.isfinite(found.train_loss[0, 2])


@pytest.mark.parametrize("t", [[], [[0.0]], [0.0, np.nan], [-0.1, 1.0], [0.0, 1.1]])
def test_impossible_places_are_refused(t):
    one, two, curve = ends(plain)
    with pytest.raises(ValueError, match="^t has shape .*a vector of at least one number from 0 to 1"):
        found_at(curve, one, two, t=t)


def test_impossible_treatments_are_refused():
    one, two, curve = ends(plain)
    for statistics, text in (
        ((), r"statistics = \[\]; name at least one treatment, each once"),
        (("frozen", "frozen"), r"statistics = \['frozen', 'frozen'\]; name at least one"),
        (("fresh",), "statistics = 'fresh' is unknown; allowed: frozen, interpolated, refreshed"),
    ):
        with pytest.raises(ValueError, match=f"^{text}"):
            found_at(curve, one, two, statistics=statistics)
    with pytest.raises(ValueError, match="^statistics are interpolated between two ends; pass end_state"):
        curve_losses(one, curve, small_data(7), statistics=("interpolated",))
    with pytest.raises(ValueError, match="^the curve's '1.weight' is absent, the network's"):
        curve_losses(one, ends()[2], small_data(7))


@pytest.mark.parametrize("which", ["start_state", "end_state"])
def test_states_of_another_network_are_refused_by_name(which):
    one, two, curve = ends()
    state = two.state_dict()
    name = "bn1.running_mean"
    for other, text in (
        ({n: t for n, t in state.items() if n != name}, rf"'{name}' has shape \(2,\), there absent"),
        ({**state, name: torch.zeros(3)}, rf"'{name}' has shape \(2,\), there \(3,\)"),
        ({**state, "more": torch.zeros(3)}, "which has no 'more'"),
    ):
        with pytest.raises(ValueError, match=f"^{which} is no point of this network.*{text}"):
            curve_losses(one, curve, small_data(7), t=T, **{which: other})
