"""Surfaces of networks that are no classifiers of images, against brute force in float64."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

import lossatlas
from engine.own_cases import Named, Writer, new, numbers, right_tokens, sequence_loss, sequences
from lossatlas.engine.executors import InlineExecutor
from lossatlas.landscape.curves import Curve, parameters_of
from lossatlas.landscape.points import displaced

RTOL = 1e-10  # float64, sums in another order


class Convolutional(nn.Module):
    """Batch normalization and dropout before a vector of numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.drop(functional.relu(self.norm(self.conv(x)))).mean((2, 3)))


def images(n=5):
    draws = torch.Generator().manual_seed(7)
    return tuple(torch.randn(n, *shape, generator=draws, dtype=torch.float64) for shape in ((3, 4, 4), (2,)))


CASES = {
    "cnn": (Convolutional, images, functional.smooth_l1_loss, lambda net, x, y: functional.smooth_l1_loss(net(x), y)),
    "transformer": (Writer, sequences, sequence_loss, lambda net, x, y: sequence_loss(net(x), y).mean()),
    "named": (Named, numbers, None, lambda net, **batch: net(**batch).loss),
}


def by_hand(model, state, data, loss):
    """The mean loss of a restored copy, example by example."""
    twin = copy.deepcopy(model)
    twin.load_state_dict(state)
    twin.eval()
    n = len(data["labels"]) if isinstance(data, dict) else len(data[1])
    with torch.no_grad():
        if isinstance(data, dict):
            return np.mean([float(loss(twin, **{k: t[i : i + 1] for k, t in data.items()})) for i in range(n)])
        return np.mean([float(loss(twin, *(t[i : i + 1] for t in data))) for i in range(n)])


def axes(model):
    return tuple(lossatlas.random_direction(model.state_dict(), seed=0, stream=f"direction_{a}") for a in "xy")


@pytest.mark.parametrize("case", CASES)
def test_planes_and_lines_are_those_of_brute_force(case):
    kind, make, loss, one = CASES[case]
    model, data, x, y = new(kind).train(), make(), [-1.0, 0.0, 0.5], [0.0, 0.75]
    state, directions = copy.deepcopy(model.state_dict()), axes(model)
    found = lossatlas.plane(model, data, x=x, y=y, loss=loss, batch_size=2)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            expected = by_hand(model, displaced(state, directions, (a, b)), data, one)
            assert found.train_loss[i, j] == pytest.approx(expected, rel=RTOL)
    assert lossatlas.line(model, data, alpha=x, loss=loss).train_loss == pytest.approx(found.train_loss[:, 0], rel=RTOL)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items()) and model.training
    assert np.isfinite(found.train_accuracy).all() == (case == "named")


@pytest.mark.parametrize("case", CASES)
def test_hessian_maps_have_the_ends_of_the_whole_spectrum(case):
    kind, make, loss, one = CASES[case]
    model, data = new(kind), make()
    directions = axes(model)
    found = lossatlas.hessian_map(model, data, directions=directions, x=[0.25], y=[0], loss=loss, max_products=400)
    point = displaced(model.state_dict(), directions, (0.25, 0))
    names = [name for name, parameter in model.named_parameters() if parameter.dim() > 1]
    twin = copy.deepcopy(model).eval()

    def value(*tensors):
        moved = {**point, **dict(zip(names, tensors, strict=True))}
        moved.pop("head.weight", None) if case == "transformer" else None

        def net(*args, **kwargs):
            return torch.func.functional_call(twin, moved, args, kwargs)

        return one(net, **data) if isinstance(data, dict) else one(net, *data)

    with sdpa_kernel(SDPBackend.MATH):
        blocks = torch.autograd.functional.hessian(value, tuple(point[name] for name in names))
    matrix = torch.cat(
        [torch.cat([b.reshape(point[m].numel(), -1) for b in row], 1) for m, row in zip(names, blocks, strict=True)]
    )
    values = torch.linalg.eigvalsh(matrix)
    assert found.converged.all()
    # an eigenvalue errs by the square of its residual over a gap
    assert found.lambda_max[0, 0] == pytest.approx(float(values[-1]), rel=2e-3)
    assert found.lambda_min[0, 0] == pytest.approx(float(values[0]), rel=2e-3, abs=2e-3 * abs(float(values[-1])))


def test_profiles_have_the_curvature_of_the_loss_given():
    model, data = new(Writer), sequences()
    found = lossatlas.profile(model, data, alpha=[-1e-4, 0, 1e-4], repeats=2, loss=sequence_loss)
    second = (found.train_loss[:, 0] - 2 * found.train_loss[:, 1] + found.train_loss[:, 2]) / 1e-8
    # a step short enough that no rectifier switches; rounding of 1e-15 over its square
    np.testing.assert_allclose(found.curvature, second, rtol=1e-4, atol=1e-5)


def test_a_trajectory_of_tied_weights_counts_them_once():
    model, data = new(Writer), sequences()
    end = copy.deepcopy(model.state_dict())
    states = []
    for i in (2, 1, 0):
        moved = {name: tensor + i * (0.1 if i == 1 else 0.2 * tensor) for name, tensor in end.items()}
        states.append({**moved, "head.weight": moved["embed.weight"]})
    found = lossatlas.trajectory(model, states, data, points=3, loss=sequence_loss)
    apart = sum(float(((states[0][n] - end[n]) ** 2).sum()) for n in end if n != "head.weight")
    assert found.trajectory.distance[0] == pytest.approx(apart**0.5, rel=1e-9)
    expected = by_hand(model, states[0], data, CASES["transformer"][3])
    start = found.trajectory.path_x[:1], found.trajectory.path_y[:1]
    at = lossatlas.plane(model, data, directions=found.directions, x=start[0], y=start[1], loss=sequence_loss)
    assert at.train_loss[0, 0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loader", [False, True])
def test_curves_take_any_loss_and_refresh_statistics(loader):
    model, other = new(Convolutional), new(Convolutional, seed=9)
    x, y = images()
    data = DataLoader(TensorDataset(x, y), batch_size=2) if loader else (x, y)
    curve = Curve.straight(parameters_of(model), parameters_of(other), kind="chain", bends=1)
    found = lossatlas.curve_losses(model, curve, data, t=[0, 0.5, 1], loss=nn.MSELoss(), refresh_batch_size=5)
    for t, net in ((0, model), (2, other)):
        twin = copy.deepcopy(net)
        twin.norm.momentum = 1.0
        twin.train()
        twin.drop.eval()
        twin(x)
        expected = functional.mse_loss(twin.eval()(x), y)
        assert found.train_loss[0, t] == pytest.approx(float(expected.detach()), rel=RTOL)


def test_a_journal_belongs_to_its_loss_and_data(tmp_path):
    model, (x, y), journal = new(Writer), sequences(), tmp_path / "points.jsonl"
    options = {"x": [0, 1], "y": [0], "journal": journal}
    first = lossatlas.plane(model, (x, y), loss=sequence_loss, **options)
    again = lossatlas.plane(model, (x, y), loss=sequence_loss, **options)
    assert again.train_loss.tobytes() == first.train_loss.tobytes()
    others = [
        ((x, y), {"loss": lambda o, t: sequence_loss(o, t)}),
        ((x, y), {"loss": sequence_loss, "accuracy": right_tokens}),
        ((x, y.flip(0)), {"loss": sequence_loss}),
        ([(x, y)], {"loss": sequence_loss, "precision": "bfloat16"}),
    ]
    for data, given in others:
        with pytest.raises(ValueError, match="holds points of other data, weights, loss or grid"):
            lossatlas.plane(model, data, **given, **options)
    scale = object()
    with pytest.raises(ValueError, match=r"cannot be told from other functions.*leave journal= out"):
        lossatlas.plane(model, (x, y), loss=lambda o, t: scale and sequence_loss(o, t), **options)


def test_a_journal_goes_on_where_it_was(tmp_path, monkeypatch):
    model, data, journal = new(Named), numbers(), tmp_path / "points.jsonl"
    monkeypatch.setattr("lossatlas.landscape.points.FLUSH_SECONDS", 0)
    whole = lossatlas.plane(model, data, x=[-1, 0, 1], y=[0, 1])
    calls = []

    def stops(outputs, batch):
        calls.append(1)
        if len(calls) > limit:
            raise RuntimeError("stop")
        return outputs.loss

    monkeypatch.setattr("lossatlas.engine.objective.Objective.identity", lambda self: {})
    limit = 8
    with pytest.raises(RuntimeError, match="stop"):
        lossatlas.plane(model, data, x=[-1, 0, 1], y=[0, 1], loss=stops, journal=journal)
    before, limit = len(calls), 100
    again = lossatlas.plane(model, data, x=[-1, 0, 1], y=[0, 1], loss=stops, journal=journal)
    assert again.train_loss.tobytes() == whole.train_loss.tobytes()
    assert len(calls) - before < before + 6


@pytest.mark.parametrize("case", CASES)
def test_workers_give_the_same_bytes(case):
    kind, make, loss, _ = CASES[case]
    model, data = new(kind), make()
    options = {"x": [-1, 0.5], "y": [0, 1], "loss": loss, "batch_size": 2}
    here = lossatlas.plane(model, data, **options)
    there = lossatlas.plane(model, data, executor=InlineExecutor(), **options)  # what it gets is pickled as for others
    assert there.train_loss.tobytes() == here.train_loss.tobytes()


def test_the_provenance_says_what_was_evaluated():
    model, data = new(Named), numbers()
    found = lossatlas.line(model, data, alpha=[0], precision="bfloat16", accuracy=lambda o, b: torch.ones(7))
    assert found.provenance["examples"] == [7, 0] and found.provenance["precision"] == "bfloat16"
    assert found.provenance["loss"] == "model"
    assert "lambda" in found.provenance["accuracy"] and found.train_accuracy[0] == 1
    pair = (data["values"], data["labels"])
    assert not {"loss", "precision"} & lossatlas.line(nn.Linear(3, 4).double(), pair, alpha=[0]).provenance.keys()


def test_sampling_of_other_losses_is_refused():
    with pytest.raises(ValueError, match="sampling takes classifiers on a pair of tensors and their cross-entropy"):
        lossatlas.plane(new(Named), numbers(), x=[0], y=[0], sampling=lossatlas.Sampling())


KINDS = {
    "convolution": (lambda: nn.Conv2d(3, 4, 3), "weight"),
    "transposed convolution": (lambda: nn.ConvTranspose2d(3, 4, 3), "weight"),
    "linear": (lambda: nn.Linear(3, 4), "weight"),
    "embedding": (lambda: nn.Embedding(5, 3, padding_idx=0), "weight"),
    "attention": (lambda: nn.MultiheadAttention(4, 2), "in_proj_weight"),
    "attention's output": (lambda: nn.MultiheadAttention(4, 2), "out_proj.weight"),
    "recurrent": (lambda: nn.LSTM(3, 4), "weight_hh_l0"),
    "layer normalization of maps": (lambda: nn.LayerNorm((3, 4)), "weight"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_is_the_first_index_of_every_tensor_of_two_or_more_dimensions(kind):
    make, name = KINDS[kind]
    weight = make().state_dict()[name]
    found = lossatlas.random_direction({name: weight}, seed=0).tensors[name]
    torch.testing.assert_close(found.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1), rtol=1e-5, atol=1e-6)
    if kind == "embedding":
        assert not found[0].any()  # what is zero stays


def test_what_has_one_dimension_or_none_stays_or_copies_the_weights():
    model = nn.TransformerEncoderLayer(4, 2, 6)
    model.scale = nn.Parameter(torch.tensor(2.0))
    state = model.state_dict()
    assert all(state[name].dim() > 1 for name in lossatlas.random_direction(state, seed=0).tensors)
    moved = lossatlas.random_direction(state, seed=0, exclude_1d=False).tensors
    for name in ("scale", "norm1.weight", "self_attn.in_proj_bias", "linear1.bias"):
        assert torch.equal(moved[name], state[name])


def test_tied_weights_have_one_direction():
    model = new(Writer)
    found = lossatlas.random_direction(model.state_dict(), seed=0).tensors
    assert torch.equal(found["head.weight"], found["embed.weight"])
    apart = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    alone = lossatlas.random_direction(apart, seed=0).tensors
    assert torch.equal(alone["embed.weight"], found["embed.weight"])
    assert not torch.equal(alone["head.weight"], found["head.weight"])
