import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from engine.cases import EXACT, Plain, examples, made, same, snapshot
from engine.own_cases import (
    Named,
    Writer,
    new,
    numbers,
    one_by_one,
    padded_loss,
    right_tokens,
    sequence_loss,
    sequences,
)
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.engine.general import GeneralEvaluator, make_evaluator

RTOL = 1e-12


def moved(model, factor=0.9):
    return {name: tensor * factor for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_sequences_agree_with_brute_force(batch_size):
    model, (x, y) = new(Writer), sequences()
    evaluator = GeneralEvaluator(
        model, {"train": (x, y)}, loss=sequence_loss, accuracy=right_tokens, batch_size=batch_size
    )
    state = moved(model)
    found = evaluator(state)["train"]
    pairs = list(zip(x, y, strict=True))
    expected = one_by_one(model, state, pairs, lambda net, xy: functional.cross_entropy(net(xy[0][None])[0], xy[1]))
    hits = one_by_one(model, state, pairs, lambda net, xy: (net(xy[0][None])[0].argmax(1) == xy[1]).double().mean())
    assert found.loss == pytest.approx(expected, rel=RTOL) and found.accuracy == pytest.approx(hits, rel=RTOL)
    assert found.n == 7


@pytest.mark.parametrize("batch_size", [2, 7])
def test_batches_by_name_agree_with_brute_force(batch_size):
    model, data = new(Named), numbers()
    found = GeneralEvaluator(model, {"train": data}, batch_size=batch_size)(moved(model))["train"]
    rows = [{key: tensor[i : i + 1] for key, tensor in data.items()} for i in range(7)]
    assert found.loss == pytest.approx(one_by_one(model, moved(model), rows, lambda net, r: net(**r).loss), rel=RTOL)
    right = one_by_one(model, moved(model), rows, lambda net, r: net(**r).logits.argmax() == r["labels"][0])
    assert found.accuracy == pytest.approx(right, rel=RTOL)


def test_a_classifier_gives_what_the_fast_evaluator_gives():
    model, data = made(Plain), examples()
    fast = Evaluator(model, {"train": data}, batch_size=3).measure("train")
    slow = GeneralEvaluator(model, {"train": data}, batch_size=3).measure("train")
    assert slow.loss == pytest.approx(fast.loss, rel=1e-10) and (slow.accuracy, slow.n) == (fast.accuracy, fast.n)


@pytest.mark.parametrize(
    "loss",
    [
        nn.functional.mse_loss,
        nn.MSELoss(),
        lambda outputs, targets: ((outputs - targets) ** 2).mean(1),
        lambda outputs, targets: (((outputs - targets) ** 2).sum(), targets.numel()),
        lambda outputs, targets: float(((outputs - targets) ** 2).mean()),
    ],
)
def test_every_form_of_a_loss_has_the_same_mean_over_a_ragged_last_batch(loss):
    model = new(lambda: nn.Linear(3, 2))
    draws = torch.Generator().manual_seed(0)
    x, y = (torch.randn(7, k, generator=draws, dtype=torch.float64) for k in (3, 2))
    found = GeneralEvaluator(model, {"train": (x, y)}, loss=loss, batch_size=3).measure("train")
    assert found.loss == pytest.approx(float(((model(x) - y) ** 2).mean().detach()), rel=RTOL)
    assert math.isnan(found.accuracy)


def test_a_total_and_its_count_weigh_padded_sequences_by_their_tokens():
    model, (x, y) = new(Writer), sequences()
    y = y.clone()
    y[1, 2:] = y[4, 1:] = 0
    found = GeneralEvaluator(model, {"train": (x, y)}, loss=padded_loss, batch_size=2).measure("train")
    logits = model.eval()(x).detach()
    expected = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=0)
    assert found.loss == pytest.approx(float(expected), rel=RTOL)
    # their mean over a batch is none over examples
    with pytest.raises(ValueError, match=r"no mean over examples.*unequal numbers of targets .padding. wants loss="):
        GeneralEvaluator(
            model,
            {"train": (x, y)},
            loss=lambda outputs, targets: functional.cross_entropy(outputs.transpose(1, 2), targets, ignore_index=0),
        )


def test_a_sum_is_no_mean():
    with pytest.raises(ValueError, match="the loss of 7 examples is .*A sum wants division by the number of examples"):
        GeneralEvaluator(
            new(lambda: nn.Linear(3, 2)),
            {"train": (torch.ones(7, 3).double(), torch.zeros(7, 2).double())},
            loss=nn.MSELoss(reduction="sum"),
        )


@pytest.mark.parametrize(
    "data",
    [
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=3),
        lambda x, y: TensorDataset(x, y),
        lambda x, y: [(x[:4], y[:4]), (x[4:], y[4:])],
        lambda x, y: [[x[:4], y[:4]], [x[4:], y[4:]], [x[:0], y[:0]]][:2],
        lambda x, y: (x.numpy(), y.numpy()),
        lambda x, y: [x, y],
    ],
)
def test_data_of_every_form_give_the_same(data):
    model, (x, y) = new(Writer), sequences()
    expected = GeneralEvaluator(model, {"train": (x, y)}, loss=sequence_loss).measure("train")
    found = GeneralEvaluator(model, {"train": data(x, y)}, loss=sequence_loss, batch_size=2).measure("train")
    assert found.loss == pytest.approx(expected.loss, rel=RTOL) and found.n == expected.n


def test_several_inputs_and_inputs_by_name_beside_targets():
    model, data = new(Named), numbers()
    expected = GeneralEvaluator(model, {"train": data}).measure("train")
    values, scale, labels = data.values()
    parts = [(values[:4], scale[:4], labels[:4]), (values[4:], scale[4:], labels[4:])]
    named = [({"values": v, "scale": s}, y) for v, s, y in parts]
    for given in ((values, scale, labels), parts, named):
        found = GeneralEvaluator(model, {"train": given}).measure("train")
        assert (found.loss, found.accuracy) == (pytest.approx(expected.loss, rel=RTOL), expected.accuracy)


def test_tied_weights_move_once_by_their_first_name():
    model, data = new(Writer), sequences()
    evaluator = GeneralEvaluator(model, {"train": data}, loss=sequence_loss)
    state = dict(model.state_dict())
    both = {**state, "embed.weight": state["embed.weight"] * 2, "head.weight": state["head.weight"] * 2}
    first = {**both, "head.weight": state["head.weight"]}
    assert evaluator(both) == evaluator(first) != evaluator(state)


@pytest.mark.parametrize("kind", [Writer, Named])
def test_the_model_is_untouched(kind):
    model = new(kind).train()
    data, loss = (sequences(), sequence_loss) if kind is Writer else (numbers(), None)
    before = snapshot(model)
    GeneralEvaluator(model, {"train": data}, loss=loss, batch_size=2)(moved(model))
    assert same(before, snapshot(model))


def test_the_caller_s_batches_and_generator_are_untouched():
    class Overwriting(Named):
        def forward(self, values, scale=None, labels=None):
            return super().forward(values.mul_(2), scale, labels)

    data = numbers()
    before, state = {key: tensor.clone() for key, tensor in data.items()}, torch.get_rng_state()
    evaluator = GeneralEvaluator(new(Overwriting), {"train": DataLoader([data], batch_size=None)})
    assert evaluator.measure("train") == evaluator.measure("train")
    assert all(torch.equal(data[key], before[key]) for key in data) and torch.equal(torch.get_rng_state(), state)


def test_randomness_is_refused_by_the_name_of_its_module():
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    model, data = new(Named), numbers()
    model.body[1] = Noise()
    before = torch.get_rng_state()
    with pytest.raises(
        ValueError, match=r"two evaluations .* differ; .*the first module that does so is body.1 .Noise."
    ):
        GeneralEvaluator(model, {"train": data})
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match=r"two evaluations .* differ; .* is 0 .Noise."):
        Evaluator(nn.Sequential(Noise(), nn.Linear(3, 4)), {"train": (data["values"].float(), data["labels"])})


def test_a_module_that_stays_in_training_mode_is_refused_by_name():
    class Stubborn(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(True)

    model = nn.Sequential(nn.Linear(3, 4), Stubborn(4)).double()
    data = {"train": (numbers()["values"], numbers()["labels"])}
    for kind in (Evaluator, GeneralEvaluator):
        with pytest.raises(ValueError, match=r"1 .Stubborn. stays in training mode after model.eval"):
            kind(model, data)


class Shuffled(torch.utils.data.Dataset):
    """Gives noise that is new every time."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.randn(3, dtype=torch.float64), i


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: DataLoader(TensorDataset(torch.ones(4, 3), torch.zeros(4)), shuffle=True), "with a RandomSampler, wh"),
        (
            lambda: DataLoader(Shuffled(), batch_size=2),
            "two passes over train differ in batch 0; switch off its random",
        ),
        (lambda: iter([(torch.ones(4, 3), torch.zeros(4))]), "train is an iterator .list_iterator., which gives its"),
        (lambda: [], "train gives no batches"),
        (lambda: [torch.ones(3)], "batch 0 of train is a Tensor; batches are .inputs, ..., targets. or mappings"),
        (lambda: [(torch.ones(3, 2),)], r"batch 0 of train is a tuple of 1; batches are"),
        (lambda: 3, "train is a int; data are a pair .inputs, targets. or a mapping of tensors, a Dataset"),
        (lambda: torch.ones(3), "train is a Tensor; data are a pair"),
        (lambda: {"values": torch.ones(3, 3), "labels": torch.ones(2)}, r"train has \[3, 2\] examples in its tensors"),
        (lambda: {}, "train has .. examples in its tensors"),
    ],
)
def test_impossible_data_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        GeneralEvaluator(new(lambda: nn.Linear(3, 1)), {"train": data()}, loss=nn.MSELoss())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (None, r"the model returns of shape .7, 5, 11. and type float64 for targets of shape .7, 5. and type int64"),
        (
            lambda o, t: o,
            r"loss returns shape .7, 5, 11. for 7 examples; return one value per example .7,., their mean",
        ),
        (lambda o, t: "x", "loss returns a str for 7 examples"),
    ],
)
def test_impossible_losses_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        GeneralEvaluator(new(Writer), {"train": sequences()}, loss=loss)


def test_batches_without_labels_and_unknown_names_are_refused():
    data = numbers()
    with pytest.raises(ValueError, match="returns a SimpleNamespace without a loss; put the labels into the batches"):
        GeneralEvaluator(new(Named), {"train": {"values": data["values"]}})
    with pytest.raises(ValueError, match=r"cannot be called as model.values=, tokens=.: .*unexpected keyword"):
        GeneralEvaluator(new(Named), {"train": {"values": data["values"], "tokens": data["labels"]}})


def test_points_that_do_not_fit_are_refused():
    evaluator = GeneralEvaluator(new(Named), {"train": numbers()})
    state = dict(model_state(new(Named)))
    with pytest.raises(ValueError, match=r"'head.bias' has shape .1,., the model's .4,."):
        evaluator.load({**state, "head.bias": torch.zeros(1)})
    state.pop("head.bias")
    with pytest.raises(KeyError, match="lacks 'head.bias'"):
        evaluator.load(state)


def test_what_overflows_stays_as_it_is():
    model, data = new(Named), numbers()
    evaluator = GeneralEvaluator(model, {"train": data})
    assert math.isnan(evaluator({n: t * math.inf for n, t in model.state_dict().items()})["train"].loss)


def test_the_choice_of_an_evaluator():
    model, data = made(Plain), examples()
    assert isinstance(make_evaluator(model, {"train": data}, batch_size=3, fuse=False), Evaluator)
    x, y = data
    for given, options in (
        (data, {"loss": functional.cross_entropy}),
        (data, {"accuracy": lambda o, t: (o.argmax(1) == t).double()}),
        ([(x, y)], {}),
        ({"x": x}, {"loss": lambda o, batch: o.mean(1)}),
    ):
        assert isinstance(make_evaluator(model, {"train": given}, fold=False, **options), GeneralEvaluator)


def test_bfloat16_is_near_and_losses_are_not_rounded():
    model, data = new(Named).float(), numbers()
    data = {key: t.float() if t.is_floating_point() else t for key, t in data.items()}
    exact = GeneralEvaluator(model, {"train": data}).measure("train")
    found = GeneralEvaluator(model, {"train": data}, precision="bfloat16").measure("train")
    # 8 bits of mantissa: 0.4 % per operation
    assert found.loss == pytest.approx(exact.loss, rel=2e-2) and found.loss != exact.loss


def test_arrays_take_the_precision_of_the_network():
    model, data = new(Named), numbers()
    arrays = {key: np.asarray(t.float() if t.is_floating_point() else t) for key, t in data.items()}
    found = GeneralEvaluator(model, {"train": arrays}).measure("train")
    torch.testing.assert_close(
        found.loss, GeneralEvaluator(model, {"train": data}).measure("train").loss, rtol=1e-6, atol=0
    )
    assert EXACT["rtol"] < 1e-6


@pytest.mark.parametrize("batch_size", [1, 2, 5, 12])
def test_padding_in_later_batches_is_noticed(batch_size):
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(12) % 4
    y[[7, 8, 10]] = -100
    with pytest.raises(ValueError, match=r"the loss of \d+ examples is .* no mean over examples.*padding. wants loss="):
        GeneralEvaluator(
            new(lambda: nn.Linear(3, 4)), {"train": (x, y)}, loss=nn.CrossEntropyLoss(), batch_size=batch_size
        )


def test_logits_that_are_nan_predict_nothing():
    model, data = made(Plain), examples(7)
    model.out.weight.data[0] = math.nan
    fast = Evaluator(model, {"train": data}, batch_size=3)
    slow = GeneralEvaluator(model, {"train": data}, batch_size=3)
    for evaluator in (fast, slow):
        evaluator.load(model.state_dict())
        found = evaluator.measure("train")
        assert math.isnan(found.loss) and math.isnan(found.accuracy)
    assert bool(fast.example_values("train")[1].isnan().all())
