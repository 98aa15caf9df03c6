import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import TiedWeights, made, same, snapshot
from landscape.cases import small_data
from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape import curve_learner
from lossatlas.landscape.curve_learner import CurveLearner
from lossatlas.landscape.curve_losses import curve_losses
from lossatlas.landscape.curves import Curve, coefficients, parameters_of, whole_state
from lossatlas.randomness import generator
from lossatlas.training.dropout import seeded
from lossatlas.training.loop import train
from training.cases import CLASSES, make_data, network, plain_network, recipe, run

SHAPES = [("chain", 1, False), ("chain", 3, False), ("bezier", 1, False), ("bezier", 2, True), ("segment", 0, True)]
DATA = make_data()


class Smooth(nn.Module):
    """A float64 network with batch normalization whose loss is smooth in every weight."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, CLASSES)

    def forward(self, x):
        return self.out(torch.tanh(self.norm(self.conv(x))).mean((2, 3)))


def smooth(seed=0):
    return made(Smooth, seed=seed)


def bent(curve, seed=7):
    """The curve with bends that lie anywhere."""
    draws = torch.Generator().manual_seed(seed)
    nodes = list(curve.nodes)
    for i in range(1, curve.bends + 1):
        nodes[i] = {n: t + 0.3 * torch.randn(t.shape, generator=draws, dtype=t.dtype) for n, t in nodes[i].items()}
    return Curve(curve.kind, tuple(nodes), curve.free_ends)


def joined(make, kind="bezier", bends=1, free_ends=False):
    """A network, and a curve between its weights and those of another seed."""
    model, other = make(seed=0), make(seed=1)
    ends = parameters_of(model), parameters_of(other)
    return model, Curve.straight(*ends, kind=kind, bends=bends, free_ends=free_ends)


def learner_of(model, curve, **options):
    return CurveLearner(model, curve, **{"weight_decay": 0.0, "refresh_batch_size": 8, **options})


def objective(model, nodes, kind, t, data, decay):
    """The loss of a batch at phi(t) in training mode plus the L2 penalty on phi(t), differentiable in the nodes."""
    weights = coefficients(kind, t, len(nodes) - 2)
    phi = {name: sum(float(c) * node[name] for c, node in zip(weights, nodes, strict=True)) for name in nodes[0]}
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    logits = torch.func.functional_call(model.train(), {**phi, **buffers}, (data[0],))
    penalty = sum(tensor.square().sum() for tensor in phi.values())
    return functional.cross_entropy(logits, data[1]) + decay / 2 * penalty


def gradients(learner, t, data, parts=1):
    """What the free nodes get for one batch at t, in equal parts."""
    learner.begin_epoch(0, 1)
    learner.move_to(t)
    for inputs, labels in zip(*(x.chunk(parts) for x in data), strict=True):
        (functional.cross_entropy(learner.logits(inputs), labels, reduction="sum") / len(data[1])).backward()
    learner.end_batch()
    return {
        int(name.removeprefix("node_")): [p.grad for p in node.parameters()]
        for name, node in learner.learned.named_children()
    }


@pytest.mark.parametrize(("kind", "bends", "free_ends"), SHAPES)
@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 0.85])
def test_gradients_against_finite_differences(kind, bends, free_ends, t):
    model, curve = joined(smooth, kind, bends, free_ends)
    curve, data, decay, h = bent(curve), small_data(6), 0.05, 1e-5
    found = gradients(learner_of(model, curve, weight_decay=decay), t, data)
    assert tuple(found) == curve.free
    draws = torch.Generator().manual_seed(1)
    for i, gradient in found.items():
        step = {n: torch.randn(x.shape, generator=draws, dtype=x.dtype) for n, x in curve.nodes[i].items()}
        sides = []
        for sign in (1, -1):
            nodes = [dict(node) for node in curve.nodes]
            nodes[i] = {name: tensor + sign * h * step[name] for name, tensor in nodes[i].items()}
            sides.append(float(objective(smooth(), nodes, kind, t, data, decay).detach()))
        along = sum(float((g * step[n]).sum()) for g, n in zip(gradient, curve.nodes[i], strict=True))
        # truncated at h^2 = 1e-10 of the third derivative, rounded at 1e-16 / h
        assert along == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("kind", "bends", "free_ends"), SHAPES)
def test_gradients_against_autograd_through_the_blend(kind, bends, free_ends):
    model, curve = joined(smooth, kind, bends, free_ends)
    curve, data = bent(curve), small_data(6)
    learner = learner_of(model, curve, weight_decay=0.05)
    for t in (0.2, 0.6, 1.0):  # one batch after the other: nothing is left of the last one
        found = gradients(learner, t, data)
        nodes = [{n: x.clone().requires_grad_() for n, x in node.items()} for node in curve.nodes]
        objective(smooth(), nodes, kind, t, data, 0.05).backward()
        for i, gradient in found.items():
            for g, expected in zip(gradient, nodes[i].values(), strict=True):
                exact = torch.zeros_like(g) if expected.grad is None else expected.grad
                torch.testing.assert_close(g, exact, rtol=1e-10, atol=1e-12)


def test_gradients_where_pytorch_has_no_operations_on_lists(monkeypatch):
    def found():
        model, curve = joined(smooth, "bezier", 2, True)
        return gradients(learner_of(model, bent(curve), weight_decay=0.05), 0.3, small_data(6))

    together = found()
    for name in [name for name in vars(torch) if name.startswith("_foreach_")]:
        monkeypatch.delattr(torch, name)
    for i, apart in found().items():
        for one, other in zip(together[i], apart, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_parts_of_a_batch_add_up():
    def make(seed):
        return plain_network(seed).double()

    model, curve = joined(make, "chain", 2)
    data = small_data(6)
    whole, parts = (gradients(learner_of(model, bent(curve), weight_decay=0.1), 0.4, data, parts=n) for n in (1, 3))
    for i in whole:
        for one, other in zip(whole[i], parts[i], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_the_network_is_called_in_training_mode_at_the_blended_weights():
    """With batch statistics, and dropout as in ordinary training."""

    def make(seed):
        return network("wide_resnet", seed, depth=10, widen=1, base_width=4, dropout=0.5)

    model, curve = joined(make)
    learner, (inputs, _) = learner_of(model, curve), small_data(5, dtype=torch.float32)
    learner.begin_epoch(0, 1)
    learner.move_to(0.3)
    # the masks of dropout are drawn in the order of memory
    there = make(seed=0).to(memory_format=torch.channels_last).train()
    there.load_state_dict(whole_state(there, curve.at(0.3)))
    with seeded(torch.device("cpu"), 3):
        found = learner.logits(inputs)
    with seeded(torch.device("cpu"), 3):
        expected = there(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with seeded(torch.device("cpu"), 4):
        assert not torch.allclose(learner.logits(inputs), expected, rtol=1e-2, atol=1e-2)


def test_every_batch_begins_with_the_same_buffers():
    class Counting(Smooth):
        """A network whose outputs depend on how many batches it has seen."""

        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

        def forward(self, x):
            self.seen += 1
            return super().forward(x) * self.seen

    model, curve = joined(lambda seed: made(Counting, seed=seed))
    learner, data = learner_of(model, curve), small_data(6)
    before = snapshot(model)
    first, second = (gradients(learner, 0.3, data) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))
    assert same(before, snapshot(model))
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in learner.network.named_buffers())


def by_hand(model, curve, *, seed, epochs, batch_size, lr, decay):
    """Train the bends with torch's own optimizer and autograd through the blend; the penalty is part of the loss."""
    inputs = normalize(DATA.train_images, NORMALIZATIONS["li"])
    nodes = [{n: t.clone() for n, t in node.items()} for node in curve.nodes]
    free = [tensor.requires_grad_() for node in nodes[1:-1] for tensor in node.values()]
    optimizer = torch.optim.SGD(free, lr=lr, momentum=0.9, nesterov=True)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(inputs), generator=generator(seed, "order", epoch))
        places = generator(seed, "curve", epoch)
        for batch in order.split(batch_size):
            t = float(torch.rand((), dtype=torch.float64, generator=places))
            optimizer.zero_grad(set_to_none=False)
            objective(model, nodes, curve.kind, t, (inputs[batch], DATA.train_labels[batch]), decay).backward()
            optimizer.step()
    return [{n: t.detach() for n, t in node.items()} for node in nodes]


@pytest.mark.parametrize(("kind", "bends"), [("chain", 2), ("bezier", 1)])
@pytest.mark.parametrize("make", [plain_network, lambda seed: network("resnet", seed, depth=8, base_width=4)])
def test_training_is_what_torch_does(make, kind, bends):
    model, curve = joined(make, kind, bends)
    learner = learner_of(model, curve, weight_decay=0.01)
    train(learner, DATA, recipe(epochs=2, weight_decay=0.0), seed=5, keep=lambda *_: None)
    expected = by_hand(make(seed=0), curve, seed=5, epochs=2, batch_size=8, lr=0.05, decay=0.01)
    for i, node in enumerate(learner.curve.nodes):
        for name, tensor in node.items():
            # float32: sums in another order
            torch.testing.assert_close(tensor.contiguous(), expected[i][name], rtol=1e-4, atol=2e-6)
            assert torch.equal(tensor, curve.nodes[i][name]) is (i in (0, bends + 1)), name


def test_free_ends_move_and_the_callers_tensors_do_not():
    model, curve = joined(plain_network, "chain", 1, free_ends=True)
    before, kept = snapshot(model), [{n: t.clone() for n, t in node.items()} for node in curve.nodes]
    learner = learner_of(model, curve)
    train(learner, DATA, recipe(epochs=1), seed=5, keep=lambda *_: None)
    assert same(before, snapshot(model))
    assert learner.curve.free_ends and learner.curve.free == (0, 1, 2)
    for node, now, old in zip(curve.nodes, learner.curve.nodes, kept, strict=True):
        assert all(torch.equal(node[name], old[name]) for name in old)
        assert not any(torch.equal(now[name], old[name]) for name in old)


def test_places_are_uniform_and_belong_to_seed_and_epoch(monkeypatch):
    model, curve = joined(plain_network)
    seen, move = [], CurveLearner.move_to
    monkeypatch.setattr(CurveLearner, "move_to", lambda self, t: (seen.append(t), move(self, t))[1])
    train(learner_of(model, curve), DATA, recipe(epochs=2, batch_size=2), seed=4, keep=lambda *_: None)
    draws = [torch.rand(13, dtype=torch.float64, generator=generator(4, "curve", epoch)) for epoch in (1, 2)]
    assert seen == torch.cat(draws).tolist()
    assert min(seen) < 0.2 and max(seen) > 0.8


def test_learned_holds_the_free_nodes_only():
    model, curve = joined(plain_network, "chain", 3)
    learner = learner_of(model, curve)
    assert list(dict(learner.learned.named_children())) == ["node_1", "node_2", "node_3"]
    count = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in learner.learned.parameters()) == 3 * count
    assert not list(learner.learned.buffers())


def test_weights_that_are_not_trained_stay():
    def make(seed):
        model = plain_network(seed)
        model[0].weight.requires_grad_(False)
        return model

    model, curve = joined(make)
    learner = learner_of(model, curve, weight_decay=0.1)
    train(learner, DATA, recipe(epochs=1), seed=0, keep=lambda *_: None)
    moved = {n: not torch.equal(t, curve.nodes[1][n]) for n, t in learner.curve.nodes[1].items()}
    assert moved == {name: name != "0.weight" for name in moved}


def test_tied_weights_stay_tied():
    model, curve = joined(lambda seed: made(TiedWeights, seed=seed).float())
    learner = learner_of(model, curve)
    history, _ = train(learner, DATA, recipe(epochs=1), seed=0, keep=lambda *_: None)
    assert history.status == "finished"
    state = learner.point(small_data(6, dtype=torch.float32)[0])
    assert torch.equal(state["other.weight"], state["conv.weight"])
    assert not torch.equal(state["conv.weight"], curve.at(0.5)["conv.weight"])


def test_the_middle_of_the_curve_has_statistics_of_its_own(monkeypatch):
    made_objects, plain = [], curve_learner.Statistics
    monkeypatch.setattr(curve_learner, "Statistics", lambda *a, **o: (made_objects.append(o), plain(*a, **o))[1])
    model, curve = joined(lambda seed: network("vgg", seed, depth=9, base_width=4))
    learner, (inputs, _) = learner_of(model, curve, refresh_batch_size=4, refresh_examples=9), small_data(12)
    inputs = inputs.float()
    expected = Statistics(model, inputs[:9], batch_size=4)(whole_state(model, curve.at(0.5)))
    for _ in range(2):
        found = learner.point(inputs)
        assert list(found) == list(model.state_dict())
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7)
    assert len(made_objects) == 1 and made_objects[0]["batch_size"] == 4


def test_training_finds_a_way_around_the_barrier():
    data, settings = make_data(64, 16), recipe(epochs=12, batch_size=16, lr=0.05)
    models = [network("vgg", seed, depth=9, base_width=4) for seed in (0, 1)]
    for seed, model in enumerate(models):
        run(model, data, settings, seed=seed)
    start, end = (parameters_of(model) for model in models)
    segment = Curve.straight(start, end)
    learner = learner_of(models[0], Curve.straight(start, end, kind="bezier", bends=1), refresh_batch_size=32)
    train(learner, data, settings, seed=3, keep=lambda *_: None)
    train_data = normalize(data.train_images, NORMALIZATIONS["li"]), data.train_labels
    straight, curved = (
        curve_losses(models[0], curve, train_data, t=np.linspace(0, 1, 9), refresh_batch_size=32).train_loss[0]
        for curve in (segment, learner.curve)
    )
    assert straight.max() > 0.5  # about as bad as a guess: log(4) is 1.4
    assert curved.max() < 0.3 * straight.max()


def test_a_training_that_stops_goes_on_exactly(tmp_path):
    model, curve = joined(lambda seed: network("vgg", seed, depth=9, base_width=4), "chain", 2)
    settings = recipe(epochs=3, checkpoints=[2], micro_batch=5)
    whole = learner_of(model, curve, weight_decay=0.01)
    history, _ = train(whole, DATA, settings, seed=2, keep=lambda *_: None)

    def stop(epoch, _):
        if epoch == 2:
            raise KeyboardInterrupt

    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        train(learner_of(model, curve, weight_decay=0.01), DATA, settings, seed=2, keep=stop, state=state)
    again = learner_of(model, curve, weight_decay=0.01)
    resumed, _ = train(again, DATA, settings, seed=2, keep=lambda *_: None, state=state)
    assert resumed.train_loss.tobytes() == history.train_loss.tobytes()
    for one, other in zip(whole.curve.nodes, again.curve.nodes, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("options", "shape", "text"),
    [
        ({"weight_decay": 0.5}, {}, "penalty is 0.0 there, 0.5 here"),
        ({"refresh_batch_size": 4}, {}, r"refresh is \[None, 8\] there, \[None, 4\] here"),
        ({}, {"kind": "chain"}, "curve is 'bezier' there, 'chain' here"),
        ({}, {"bends": 2}, "bends is 1 there, 2 here"),
        ({}, {"free_ends": True}, "free_ends is False there, True here"),
    ],
)
def test_the_state_of_another_curve_is_refused(tmp_path, options, shape, text):
    state = tmp_path / "state.pt"
    train(learner_of(*joined(plain_network)), DATA, recipe(epochs=0), seed=2, keep=lambda *_: None, state=state)
    other = learner_of(*joined(plain_network, **shape), **options)
    with pytest.raises(ValueError, match=rf"belongs to another seed or recipe \({text}\)"):
        train(other, DATA, recipe(epochs=0), seed=2, keep=lambda *_: None, state=state)


def test_the_state_of_a_curve_to_other_weights_is_refused(tmp_path):
    state = tmp_path / "state.pt"
    model, curve = joined(plain_network)
    train(learner_of(model, curve), DATA, recipe(epochs=0), seed=2, keep=lambda *_: None, state=state)
    end = parameters_of(plain_network(seed=8))
    other = Curve.straight(curve.nodes[0], end, kind="bezier", bends=1)
    with pytest.raises(ValueError, match=r"belongs to another seed or recipe \(nodes is "):
        train(learner_of(model, other), DATA, recipe(epochs=0), seed=2, keep=lambda *_: None, state=state)


@pytest.mark.parametrize("compiled", [False, True])
def test_only_a_learner_that_is_told_so_compiles(monkeypatch, compiled):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda function: (calls.append(function), function)[1])
    model, curve = joined(smooth)
    learner, data = learner_of(model, curve, compile=compiled), small_data(6)
    assert len(calls) == compiled
    assert gradients(learner, 0.3, data)[1][0].abs().max() > 0


def test_what_cannot_be_trained_is_refused():
    model, curve = joined(smooth, "segment", 0)
    with pytest.raises(ValueError, match="^the curve has no free node to train; give it bends, or free ends"):
        learner_of(model, curve)
    _, other = joined(plain_network)
    with pytest.raises(ValueError, match="^the curve's 'conv.weight' is absent, the network's"):
        learner_of(model, other)
