import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import CLASSES, ModuleTwoNames, NormTwice, Overwriting, Plain, View, examples, made, same, snapshot
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.engine.statistics import Statistics, full_batches
from lossatlas.models import build

# float64 sums of a few dozen terms in another order
TIGHT = {"rtol": 1e-12, "atol": 1e-13}


class Two(nn.Module):
    """Two layers, each with its normalization; the second sees what the first one normalized."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.one, self.first = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.two, self.second = nn.Linear(4, 5), nn.BatchNorm1d(5, eps=0.1, momentum=0.3)
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(5, CLASSES)

    def forward(self, x):
        h = self.dropout(functional.relu(self.first(self.one(x))))
        return self.out(torch.tanh(self.second(self.two(h))))


def rows(n=11, seed=4):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def averaged(batches, weights):
    """Means and unbiased variances of batches (n, features), averaged by size."""
    return [
        np.average([statistic(batch) for batch in batches], axis=0, weights=weights)
        for statistic in (lambda b: b.mean(axis=0), lambda b: b.var(axis=0, ddof=1))
    ]


def by_hand(model, inputs, sizes):
    """The statistics of both layers of `Two`, batch by batch in numpy."""
    w = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    parts = np.split(inputs.numpy(), np.cumsum(sizes)[:-1])
    firsts = [part @ w["one.weight"].T + w["one.bias"] for part in parts]
    seconds = []
    for h in firsts:
        normal = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5)  # normalized by the biased variance
        active = np.maximum(normal * w["first.weight"] + w["first.bias"], 0)
        seconds.append(active @ w["two.weight"].T + w["two.bias"])
    return averaged(firsts, sizes), averaged(seconds, sizes)


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 3]), (5, [5, 6]), (9, [9, 2]), (11, [11]), (100, [11])])
def test_statistics_are_averages_of_the_batches_weighted_by_size(batch_size, sizes):
    """With batches of 5 and 5 the last example would be alone: it joins the second batch."""
    model, inputs = made(Two), rows()
    fresh = Statistics(model, inputs, batch_size=batch_size)(model_state(model))
    for layer, (mean, variance) in zip(("first", "second"), by_hand(model, inputs, sizes), strict=True):
        np.testing.assert_allclose(fresh[f"{layer}.running_mean"], mean, **TIGHT)
        np.testing.assert_allclose(fresh[f"{layer}.running_var"], variance, **TIGHT)


def test_one_batch_of_everything_is_the_full_pass():
    model, (inputs, _) = made(Plain), examples(9)
    fresh = Statistics(model, inputs, batch_size=9)(model_state(model))
    maps = functional.conv2d(inputs, model.conv.weight, padding=1)
    torch.testing.assert_close(fresh["norm.running_mean"], maps.mean((0, 2, 3)), **TIGHT)
    torch.testing.assert_close(fresh["norm.running_var"], maps.var((0, 2, 3), unbiased=True), **TIGHT)


def test_with_refreshed_statistics_evaluation_normalizes_as_the_full_batch_does():
    """But for the bias of the variance: 9 images of 64 pixels."""
    model, data = made(Plain), examples(9)
    fresh = Statistics(model, data[0], batch_size=9)(model_state(model))
    found = Evaluator(model, {"train": data})(fresh)["train"].loss
    whole = float(functional.cross_entropy(made(Plain).train()(data[0]), data[1]).detach())
    assert found == pytest.approx(whole, rel=1e-3)
    assert Evaluator(model, {"train": data})(model_state(model))["train"].loss != pytest.approx(whole, rel=1e-2)


def test_the_state_decides_not_the_networks_own_weights():
    model, inputs = made(Two), rows()
    statistics = Statistics(model, inputs, batch_size=4)
    other = made(Two, seed=9)
    expected = Statistics(other, inputs, batch_size=4)(model_state(other))
    first = statistics(model_state(model))
    found = statistics(model_state(other))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    # nothing is left of what was visited before
    again = statistics(model_state(model))
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    assert not torch.equal(first["first.running_mean"], found["first.running_mean"])


def test_only_statistics_change():
    model, inputs = made(Two), rows()
    state = model_state(model)
    fresh = Statistics(model, inputs, batch_size=4)(state)
    assert list(fresh) == list(state)
    changed = {name for name in state if not torch.equal(fresh[name], state[name])}
    assert changed == {f"{layer}.{kind}" for layer in ("first", "second") for kind in ("running_mean", "running_var")}
    assert all(fresh[name] is state[name] for name in state if name not in changed)


@pytest.mark.parametrize("old", [math.nan, math.inf, -1.0])
def test_statistics_that_were_there_do_not_count(old):
    model, inputs = made(Two), rows()
    statistics = Statistics(model, inputs, batch_size=4)
    state = model_state(model)
    spoiled = {name: torch.full_like(t, old) if "running" in name else t for name, t in state.items()}
    fresh, expected = statistics(spoiled), statistics(state)
    assert all(torch.equal(fresh[name], expected[name]) for name in state)


def test_dropout_stays_off_and_takes_no_random_number():
    dropping, plain, inputs = made(lambda: Two(dropout=0.5)), made(Two), rows()
    before = torch.get_rng_state()
    found, expected = (Statistics(model, inputs, batch_size=4)(model_state(model)) for model in (dropping, plain))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("training", [True, False])
def test_the_callers_network_is_untouched(training):
    model, inputs = made(lambda: Two(dropout=0.5)).train(training), rows()
    before, kept = snapshot(model), inputs.clone()
    statistics = Statistics(model, inputs, batch_size=4)
    statistics(model_state(model))
    assert same(before, snapshot(model)) and torch.equal(inputs, kept)
    assert model.second.momentum == 0.3 and not model.second._forward_hooks


def test_a_network_without_batch_norm_is_returned_as_it_is():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, CLASSES)).double()
    statistics = Statistics(model, rows(), batch_size=4)
    state = model_state(model)
    fresh = statistics(state)
    assert statistics.layers == 0 and fresh is not state
    assert all(fresh[name] is state[name] for name in state) and list(fresh) == list(state)


def test_a_normalization_without_running_statistics_has_none_to_refresh():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)).double()
    assert Statistics(model, rows(), batch_size=4).layers == 0


def test_what_was_used_is_recorded():
    statistics = Statistics(made(Two), rows(), batch_size=4)
    assert (statistics.layers, statistics.examples, statistics.batch_size) == (2, 11, 4)
    resnet = made(lambda: build("resnet", depth=8, base_width=2, num_classes=CLASSES, input_size=8))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in resnet.modules())
    assert Statistics(resnet, examples(4)[0], batch_size=2).layers == norms > 5


def test_a_layer_that_is_used_twice_gets_the_mean_of_both_uses():
    model, (inputs, _) = made(NormTwice), examples(7)
    fresh = Statistics(model, inputs, batch_size=4)(model_state(model))
    means, variances = [], []
    for part in inputs.split(4):
        h = functional.conv2d(part, model.conv.weight, padding=1)
        for _ in range(2):
            means.append(h.mean((0, 2, 3)))
            variances.append(h.var((0, 2, 3)))
            h = functional.batch_norm(h, None, None, model.norm.weight, model.norm.bias, training=True)
    for name, found in (("running_mean", means), ("running_var", variances)):
        expected = np.average(torch.stack(found).detach().numpy(), axis=0, weights=[4, 4, 3, 3])
        np.testing.assert_allclose(fresh[f"norm.{name}"], expected, **TIGHT)


def test_a_layer_that_is_not_used_keeps_what_it_has():
    class Unused(Two):
        def forward(self, x):
            return self.out(self.second(self.two(self.one(x))))

    model = made(Unused)
    fresh = Statistics(model, rows(), batch_size=4)(model_state(model))
    assert torch.equal(fresh["first.running_var"], model.first.running_var)
    assert not torch.equal(fresh["second.running_var"], model.second.running_var)


def test_a_layer_with_two_names_has_its_statistics_under_both():
    class NormTwoNames(ModuleTwoNames):
        def __init__(self):
            super().__init__()
            self.twin = self.norm

    model, data = made(NormTwoNames), examples(6)
    fresh = Statistics(model, data[0], batch_size=6)(model_state(model))
    assert torch.equal(fresh["twin.running_mean"], fresh["norm.running_mean"])
    assert not torch.equal(fresh["twin.running_mean"], model.norm.running_mean)
    expected = Statistics(made(Plain), data[0], batch_size=6)(model_state(made(Plain)))
    assert torch.equal(fresh["norm.running_mean"], expected["norm.running_mean"])


def test_networks_that_cannot_be_stored_channels_last():
    model, (inputs, _) = made(View), examples(6)
    fresh = Statistics(model, inputs, batch_size=4)(model_state(model))
    expected = averaged(
        [
            functional.conv2d(part, model.conv.weight, padding=1).transpose(0, 1).flatten(1).T.detach().numpy()
            for part in inputs.split(4)
        ],
        [4, 2],
    )
    np.testing.assert_allclose(fresh["norm.running_mean"], expected[0], **TIGHT)
    np.testing.assert_allclose(fresh["norm.running_var"], expected[1], **TIGHT)


def test_networks_that_write_to_their_inputs():
    model, (inputs, _) = made(Overwriting), examples(6)
    statistics, kept = Statistics(model, inputs, batch_size=6), inputs.clone()
    once, again = (statistics(model_state(model)) for _ in range(2))
    assert torch.equal(inputs, kept) and torch.equal(once["norm.running_mean"], again["norm.running_mean"])


def test_half_and_single_precision_keep_their_type():
    for dtype in (torch.float32, torch.bfloat16):
        model = made(Two).to(dtype)
        fresh = Statistics(model, rows().to(dtype), batch_size=4)(model_state(model))
        assert fresh["first.running_var"].dtype == dtype


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="^batch_size = 1 of the refresh is impossible; it must be at least 2"):
        Statistics(made(Two), rows(), batch_size=1)
    with pytest.raises(ValueError, match="^the refresh has 1 examples; a variance needs at least 2"):
        Statistics(made(Two), rows(1), batch_size=4)


@pytest.mark.parametrize(("n", "size", "sizes"), [(7, 3, [3, 4]), (8, 3, [3, 3, 2]), (2, 5, [2]), (5, 4, [5])])
def test_a_batch_of_one_joins_the_one_before(n, size, sizes):
    inputs = rows(n)
    batches = full_batches(inputs, size)
    assert [len(batch) for batch in batches] == sizes and torch.equal(torch.cat(batches), inputs)


def test_a_network_that_cannot_run_at_all_says_so_at_once():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Statistics(made(Two), torch.ones(4, 7, dtype=torch.float64), batch_size=4)


def test_memory_that_is_exhausted_is_no_question_of_order():
    calls = []

    class Large(Plain):
        def forward(self, x):
            calls.append(1)
            if len(calls) == 1:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        Statistics(made(Large), examples(4)[0], batch_size=4)
    assert len(calls) == 1
