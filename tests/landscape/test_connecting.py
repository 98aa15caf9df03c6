"""Curves that are trained between two minimizers of a network of one's own."""

import numpy as np
import pytest
import torch
from torch import nn

from engine.cases import same, snapshot
from lossatlas.landscape import connecting
from lossatlas.landscape.connecting import connect
from lossatlas.landscape.curve_losses import curve_losses
from lossatlas.landscape.curves import Curve, parameters_of

OPTIONS = {"epochs": 20, "batch_size": 16, "lr": 0.3, "momentum": 0.9, "weight_decay": 0.0}
T = np.linspace(0, 1, 21)


def xor(n=64):
    """Two classes that no line separates."""
    inputs = torch.rand(n, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).long()


def made(hidden=8, *, norm=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, hidden), *([nn.BatchNorm1d(hidden)] if norm else []), nn.Tanh(), nn.Linear(hidden, 2)
    )


def minimizers():
    """A network with a minimizer, and the same function with its hidden units in another order: also one."""
    model, (inputs, labels) = made(), xor()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    start = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    order = torch.arange(7, -1, -1)
    end = {name: tensor[:, order] if name == "2.weight" else tensor for name, tensor in start.items()}
    return model, start, {n: t[order] if n.startswith("0.") else t for n, t in end.items()}


def nodes_equal(one, other):
    return all(
        torch.equal(node[name], same_node[name])
        for node, same_node in zip(one.nodes, other.nodes, strict=True)
        for name in node
    )


@pytest.mark.parametrize("kind", ["bezier", "chain"])
def test_the_curve_goes_around_the_segments_barrier(kind):
    model, start, end = minimizers()
    before, straight = snapshot(model), Curve("segment", (start, end))
    curve = connect(model, start, end, xor(), kind=kind, **OPTIONS)
    assert same(before, snapshot(model))
    assert (curve.kind, curve.bends, curve.free_ends) == (kind, 1, False)
    assert all(torch.equal(curve.nodes[i][name], side[name]) for i, side in ((0, start), (2, end)) for name in start)
    along, beside = (curve_losses(model, c, xor(), t=T).train_loss[0] for c in (curve, straight))
    ends = max(beside[0], beside[-1])
    assert along.max() - ends < 0.5 * (beside.max() - ends) and beside.max() > ends + 0.1


def test_arrays_and_lists_are_data():
    model, start, end = minimizers()
    inputs, labels = xor()
    options = {**OPTIONS, "epochs": 1}
    tensors = connect(model, start, end, (inputs, labels), **options)
    for data in (
        (inputs.double().numpy(), labels.numpy().astype(np.int32)),
        (inputs.tolist(), labels.tolist()),
        (inputs, labels.to(torch.uint8)),
    ):
        assert nodes_equal(connect(model, start, end, data, **options), tensors)


def test_ends_of_another_precision_are_brought_to_the_networks():
    model, start, end = minimizers()
    options = {**OPTIONS, "epochs": 1}
    double = {name: tensor.double() for name, tensor in end.items()}
    assert nodes_equal(connect(model, start, double, xor(), **options), connect(model, start, end, xor(), **options))


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    model, start, end = minimizers()
    options = {**OPTIONS, "epochs": 4}
    whole = connect(model, start, end, xor(), **options)
    plain, steps = connecting.CurveLearner.end_batch, []

    def end_batch(self):
        steps.append(1)
        if len(steps) == 10:  # in the third epoch of four steps
            raise KeyboardInterrupt
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(connecting.CurveLearner, "end_batch", end_batch)
        with pytest.raises(KeyboardInterrupt):
            connect(model, start, end, xor(), state=tmp_path / "state.pt", **options)
    steps.clear()
    monkeypatch.setattr(connecting.CurveLearner, "end_batch", lambda self: (steps.append(1), plain(self)))
    assert nodes_equal(connect(model, start, end, xor(), state=tmp_path / "state.pt", **options), whole)
    assert len(steps) == 8


@pytest.mark.parametrize("which", ["start", "end"])
def test_states_of_another_network_are_refused_by_name(which):
    model, start, end = minimizers()
    good = {"start": start, "end": end}
    lacking = {name: tensor for name, tensor in start.items() if name != "2.bias"}
    for state, text in (
        (lacking, r"'2.bias' has shape \(2,\), there absent"),
        (made(4).state_dict(), r"'0.weight' has shape \(8, 2\), there \(4, 2\)"),
        ({**start, "3.bias": torch.zeros(2)}, "which has no '3.bias'"),
    ):
        with pytest.raises(ValueError, match=f"^{which} is no point of this network.*{text}"):
            connect(model, train=xor(), **{**good, which: state})


def test_impossible_data_are_refused():
    model, start, end = minimizers()
    inputs, labels = xor()
    for data, text in (
        ((inputs.long(), labels), "inputs of type torch.int64; normalized floating-point inputs are needed"),
        ((inputs, labels.float()), "labels of type torch.float32 and shape"),
        ((inputs, labels[:, None]), r"labels of type torch.int64 and shape \(64, 1\)"),
        ((inputs, labels[:5]), "64 inputs and 5 labels; both must be equal"),
    ):
        with pytest.raises(ValueError, match=f"^train has {text}"):
            connect(model, start, end, data)


def test_a_training_that_diverges_is_noticed():
    model, start, end = minimizers()
    with pytest.raises(ValueError, match=r"^the curve's training diverged \(epoch .*lower lr = 1e\+30"):
        connect(model, start, end, xor(), **{**OPTIONS, "lr": 1e30, "weight_decay": 1.0})


def test_a_bend_that_the_history_does_not_see_is_noticed(monkeypatch):
    """At t = 1/2 a chain of three bends is its second one."""
    model, start, end = minimizers()
    plain = connecting.train_loop

    def train_loop(learner, *args, **options):
        found = plain(learner, *args, **options)
        next(learner.learned["node_3"].parameters()).data.fill_(np.inf)
        return found

    monkeypatch.setattr(connecting, "train_loop", train_loop)
    with pytest.raises(ValueError, match=r"diverged \(the weights of node 3 are not finite\); lower lr = 0.3"):
        connect(model, start, end, xor(), kind="chain", bends=3, **{**OPTIONS, "epochs": 1})


def test_buffers_of_the_end_do_not_matter():
    """Those of the start are where a training begins."""
    model = made(norm=True)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    end = {name: tensor + 0.5 if tensor.is_floating_point() else tensor for name, tensor in start.items()}
    buffers = {name for name, _ in model.named_buffers()}
    other = {name: tensor + 1 if name in buffers else tensor for name, tensor in end.items()}
    options = {**OPTIONS, "epochs": 1}
    one, two = (connect(model, start, side, xor(), **options) for side in (end, other))
    assert nodes_equal(one, two) and set(one.nodes[0]) == set(parameters_of(model))
