import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import (
    CLASSES,
    EXACT,
    LinearNorm,
    Overwriting,
    Plain,
    Untraceable,
    View,
    brute_force,
    examples,
    made,
    same,
    snapshot,
)
from lossatlas.engine.evaluator import Evaluator, Measurement, model_state
from lossatlas.models import build
from models.conftest import SMALL


def close(found: Measurement, expected: tuple[float, float]) -> None:
    torch.testing.assert_close(torch.tensor(found.loss), torch.tensor(expected[0]), **EXACT)
    assert found.accuracy == expected[1]


def scaled(state, factor):
    return {name: t * factor if t.is_floating_point() else t for name, t in state.items()}


def test_closed_form_of_a_linear_classifier():
    model = nn.Linear(1, 2, bias=False).double()
    inputs, labels = torch.tensor([[1.0], [2.0], [-3.0]], dtype=torch.float64), torch.tensor([0, 0, 0])
    evaluator = Evaluator(model, {"train": (inputs, labels)}, batch_size=2)
    found = evaluator({"weight": torch.tensor([[0.25], [-0.5]], dtype=torch.float64)})["train"]
    # logits 0.25 x and -0.5 x: the cross-entropy of class 0 is log(1 + exp(-0.75 x))
    assert found.loss == pytest.approx(sum(math.log1p(math.exp(-0.75 * x)) for x in (1, 2, -3)) / 3, rel=1e-14)
    assert (found.accuracy, found.n) == (2 / 3, 3)


def test_zero_weights_give_the_logarithm_of_the_number_of_classes():
    model = made(Plain)
    zero = {name: torch.zeros_like(t) for name, t in model_state(model).items()}
    assert Evaluator(model, {"train": examples()})(zero)["train"].loss == pytest.approx(math.log(CLASSES), rel=1e-14)


@pytest.mark.parametrize("name", SMALL)
def test_brute_force_for_every_family(name):
    family, options = SMALL[name]
    model = made(lambda: build(family, num_classes=CLASSES, input_size=8, **options))
    data = examples(3)
    evaluator = Evaluator(model, {"train": data}, batch_size=2)
    for factor in (1.0, 0.9):
        state = scaled(model.state_dict(), factor)
        close(evaluator(state)["train"], brute_force(model, state, *data))


@pytest.mark.parametrize(
    "options", [{}, {"fold": False}, {"channels_last": False}, {"batch_size": 1}, {"batch_size": 3}]
)
def test_settings_of_the_engine_do_not_change_values(options):
    model, data = made(lambda: build("resnet", depth=8, base_width=4, num_classes=CLASSES, input_size=8)), examples()
    found = Evaluator(model, {"train": data}, **options)(model.state_dict())["train"]
    close(found, brute_force(model, model.state_dict(), *data))
    assert found.n == 7


def test_a_network_in_training_mode_is_evaluated_in_eval_mode():
    model, data = (
        made(lambda: build("wide_resnet", depth=10, widen=1, dropout=0.5, base_width=4, num_classes=4)),
        examples(4),
    )
    model.train()
    close(Evaluator(model, {"train": data})(model.state_dict())["train"], brute_force(model, model.state_dict(), *data))


def test_float64_is_not_rounded_to_float32():
    model, data = made(LinearNorm), examples()
    evaluator = Evaluator(model, {"train": data})
    evaluator.load(model.state_dict())
    assert evaluator.logits("train").dtype == torch.float64
    torch.testing.assert_close(evaluator.logits("train"), model.eval()(data[0]).detach(), **EXACT)


def test_half_precision_is_widened():
    model = nn.Linear(2, 3).bfloat16()
    inputs = torch.ones(2, 2, dtype=torch.bfloat16)
    evaluator = Evaluator(model, {"train": (inputs, torch.tensor([0, 1]))})
    assert evaluator.logits("train").dtype == torch.float32


def test_each_data_set_is_measured_on_its_own():
    model, train, test = made(Plain), examples(5), examples(4, seed=9)
    evaluator = Evaluator(model, {"train": train, "test": test}, batch_size=3)
    found = evaluator(model.state_dict())
    close(found["train"], brute_force(model, model.state_dict(), *train))
    close(found["test"], brute_force(model, model.state_dict(), *test))
    assert list(evaluator(model.state_dict(), ["test"])) == ["test"]


def test_a_new_evaluator_stands_at_the_weights_of_the_model():
    model, data = made(Plain), examples()
    close(Evaluator(model, {"train": data}).measure("train"), brute_force(model, model.state_dict(), *data))


@pytest.mark.parametrize("network", [Untraceable, View, Overwriting])
def test_networks_with_peculiarities_still_work(network):
    model, data = made(network), examples()
    inputs = data[0].clone()
    close(
        Evaluator(model, {"train": data})(model.state_dict())["train"],
        brute_force(model, model.state_dict(), inputs.clone(), data[1]),
    )
    assert torch.equal(data[0], inputs)


def test_channels_first_fallback_keeps_the_folding():
    assert Evaluator(made(View), {"train": examples()}).folded == 1


def test_inputs_without_channels_are_left_alone_by_networks_that_overwrite():
    inputs = torch.linspace(-1, 1, 8).reshape(4, 2)
    before = inputs.clone()
    Evaluator(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 2)), {"train": (inputs, torch.zeros(4).long())})
    assert torch.equal(inputs, before)


def test_the_model_is_untouched():
    model = made(Plain).train()
    model.norm.eval()
    model.out.weight.requires_grad_(False)
    before = snapshot(model)
    evaluator = Evaluator(model, {"train": examples()}, batch_size=2)
    evaluator(scaled(model.state_dict(), 2.0))
    evaluator.logits("train")
    assert same(before, snapshot(model))


class _Failing(Plain):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        if type(self).calls > 40:
            raise RuntimeError("out of memory, say")
        return super().forward(x)


def test_the_model_is_untouched_when_an_evaluation_raises():
    model = made(_Failing).train()
    before = snapshot(model)
    evaluator = Evaluator(model, {"train": examples()}, batch_size=1)
    state = scaled(model.state_dict(), 2.0)
    with pytest.raises(RuntimeError, match="out of memory"):
        for _ in range(40):
            evaluator(state)
    assert same(before, snapshot(model))


class _FunctionalDropout(Plain):
    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5))


class _Noisy(Plain):
    def forward(self, x):
        return super().forward(x + 0.01 * torch.randn_like(x))


@pytest.mark.parametrize("network", [_FunctionalDropout, _Noisy])
def test_randomness_in_the_network_is_refused_and_leaves_the_generator_alone(network):
    model = made(network)
    before = snapshot(model)
    with pytest.raises(ValueError, match="two evaluations of the same weights on the same data differ"):
        Evaluator(model, {"train": examples()})
    assert same(before, snapshot(model))


def test_statistics_of_the_point_are_used():
    model, data = made(Plain), examples()
    state = dict(model.state_dict())
    state["norm.running_mean"] = state["norm.running_mean"] + 1
    state["norm.running_var"] = state["norm.running_var"] * 3
    close(Evaluator(model, {"train": data})(state)["train"], brute_force(model, state, *data))


def test_points_do_not_leave_traces():
    model, data = made(Plain), examples()
    evaluator = Evaluator(model, {"train": data})
    there = scaled(model.state_dict(), 1e200)
    first = evaluator(model.state_dict())
    assert not math.isfinite(evaluator(there)["train"].loss)
    assert evaluator(model.state_dict()) == first


def test_a_negative_running_variance_gives_nan_as_without_folding():
    model, data = made(Plain), examples()
    state = dict(model.state_dict())
    state["norm.running_var"] = -state["norm.running_var"]
    for fold in (True, False):
        assert math.isnan(Evaluator(model, {"train": data}, fold=fold)(state)["train"].loss)


def test_the_mean_of_large_losses_does_not_overflow():
    model = nn.Linear(1, 2, bias=False)
    inputs, labels = torch.ones(128, 1), torch.ones(128).long()
    # each loss is 1e37, and their float32 sum would be infinite
    found = Evaluator(model, {"train": (inputs, labels)})({"weight": torch.tensor([[1e37], [0.0]])})
    assert found["train"].loss == pytest.approx(1e37, rel=1e-6)


def test_a_loss_that_overflows_is_kept_as_it_comes():
    model = nn.Linear(1, 2, bias=False)
    evaluator = Evaluator(model, {"train": (torch.full((3, 1), 10.0), torch.ones(3).long())})
    assert evaluator({"weight": torch.tensor([[3e38], [0.0]])})["train"].loss != 0
    assert not math.isfinite(evaluator({"weight": torch.tensor([[3e38], [0.0]])})["train"].loss)


def test_a_checkpoint_that_is_not_finite_can_be_evaluated():
    model = made(Plain)
    model.conv.weight.data[0] = math.nan
    assert math.isnan(Evaluator(model, {"train": examples()})(model.state_dict())["train"].loss)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 2), (1, 5), (3, 3 + 1), (6, 7), (2, None)])
def test_values_of_examples_are_those_that_the_mean_is_of(start, stop):
    model, data = made(Plain), examples(7)
    evaluator = Evaluator(model, {"train": data}, batch_size=3)
    losses, right = evaluator.example_values("train", start, stop)
    logits = model.eval()(data[0]).detach()
    assert losses.dtype == torch.float64
    torch.testing.assert_close(losses, functional.cross_entropy(logits, data[1], reduction="none")[start:stop], **EXACT)
    assert torch.equal(right, (logits.argmax(1) == data[1]).double()[start:stop])
    whole = evaluator.measure("train")
    if (start, stop) == (0, None):
        assert float(losses.mean()) == pytest.approx(whole.loss, rel=1e-14)
        assert float(right.double().mean()) == whole.accuracy


def test_a_missing_name_is_an_error():
    model = made(Plain)
    state = {name: t for name, t in model.state_dict().items() if name != "norm.bias"}
    with pytest.raises(KeyError, match="lacks 'norm.bias' .1 of 8"):
        Evaluator(model, {"train": examples()}).load(state)


def test_a_shape_that_would_be_broadcast_is_an_error():
    model = made(Plain)
    state = dict(model.state_dict()) | {"out.bias": torch.zeros(1, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"'out.bias' has shape \(1,\), the model's \(4,\)"):
        Evaluator(model, {"train": examples()}).load(state)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no data set to evaluate on"),
        ({"train": (torch.zeros(0, 3, 8, 8), torch.zeros(0).long())}, "'train' has 0 inputs and 0 labels"),
        ({"test": (torch.zeros(2, 3, 8, 8), torch.zeros(3).long())}, "'test' has 2 inputs and 3 labels"),
    ],
)
def test_impossible_data_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(made(Plain), data)


def test_an_impossible_batch_size_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0; it must be at least 1"):
        Evaluator(made(Plain), {"train": examples()}, batch_size=0)


class _Pair(Plain):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("model", "message"), [(nn.Flatten(0), r"returns shape \(1344,\)"), (_Pair().double(), "returns a tuple")]
)
def test_networks_without_logits_are_refused(model, message):
    with pytest.raises(ValueError, match=message + "; logits of shape"):
        Evaluator(model, {"train": examples()})


def backwards(values):
    """The same numbers in an array that runs backwards and cannot be written to."""
    array = np.ascontiguousarray(values.numpy()[::-1])[::-1]
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("inputs", [lambda x: x, lambda x: x.numpy(), lambda x: x.double().numpy(), backwards, list])
@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y.int(),
        lambda y: y.to(torch.uint8),
        lambda y: y.numpy(),
        lambda y: y.numpy().astype("int32"),
        lambda y: y.tolist(),
        lambda y: tuple(y.tolist()),
        backwards,
    ],
)
def test_data_may_be_arrays_and_lists(inputs, labels):
    model, (x, y) = made(Plain).float(), examples(dtype=torch.float32)
    expected = Evaluator(model, {"train": (x, y)}, batch_size=3).measure("train")
    assert Evaluator(model, {"train": (inputs(x), labels(y))}, batch_size=3).measure("train") == expected


@pytest.mark.parametrize("labels", [[0.0, 1.0], np.ones(2), torch.tensor([True, False]), torch.zeros(2, 1).long()])
def test_labels_that_are_no_integers_are_refused(labels):
    with pytest.raises(ValueError, match=r"'train' has labels of type \w+ and shape .*; labels are integers 0, 1, "):
        Evaluator(made(Plain), {"train": (examples(2)[0], labels)})


@pytest.mark.parametrize(("labels", "found"), [([0, 4], "0 to 4"), ([-1, 3], "-1 to 3"), ([-100, 0], "-100 to 0")])
def test_labels_that_are_no_classes_are_refused(labels, found):
    data = {"train": examples(2), "test": (examples(2)[0], labels)}
    message = rf"'test' has labels from {found}; the model returns 4 logits, so labels must lie in 0\.\.3"
    with pytest.raises(ValueError, match=message):
        Evaluator(made(Plain), data, batch_size=1)
