import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.own_cases import Named, Writer, new, sequence_loss
from lossatlas.engine.identity import callable_identity, contents, model_code
from lossatlas.files import sha256_json

WEIGHT = 0.5


def helper(value):
    return value * WEIGHT


def calls_a_helper(outputs, targets):
    return helper((outputs - targets).abs().mean(1))


def told(function):
    return sha256_json(callable_identity(function))


def made(factor):
    return lambda outputs, targets: factor * (outputs - targets).abs().mean(1)


class Weighted:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, outputs, targets):
        return self.factor * (outputs - targets).abs().mean(1)

    def method(self, outputs, targets):
        return self(outputs, targets)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sequence_loss, functional.mse_loss),
        (functional.l1_loss, functional.mse_loss),
        (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss()),
        (nn.CrossEntropyLoss(weight=torch.ones(3)), nn.CrossEntropyLoss(weight=torch.zeros(3))),
        (made(1.0), made(2.0)),
        (Weighted(1.0), Weighted(2.0)),
        (Weighted(1.0).method, Weighted(2.0).method),
        (functools.partial(functional.huber_loss, delta=1.0), functools.partial(functional.huber_loss, delta=2.0)),
        (lambda o, t: o - t, lambda o, t: t - o),
    ],
)
def test_functions_are_told_apart_and_known_again(one, other):
    assert told(one) == told(one) != told(other)


def test_equal_values_around_a_function_are_one():
    assert told(made(1.0)) == told(made(1.0)) and told(Weighted(1.0)) == told(Weighted(1.0))


def test_values_and_functions_of_the_module_count(monkeypatch):
    before = told(calls_a_helper)
    monkeypatch.setitem(globals(), "WEIGHT", 0.25)
    changed = told(calls_a_helper)
    assert changed != before
    monkeypatch.setitem(globals(), "helper", sequence_loss)
    assert told(calls_a_helper) not in (before, changed)


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(
        ValueError, match=r"made.* cannot be told .*of a object the content is not known.*leave journal="
    ):
        told(made(object()))
    namespace = {}
    exec("def typed(o, t):\n    return o - t", namespace)
    with pytest.raises(ValueError, match="typed cannot be told from other functions .its source is not there."):
        told(namespace["typed"])


def test_recursion_ends():
    def again(outputs, targets):
        return again(outputs, targets) if targets is None else outputs

    assert told(again) == told(again)


def test_contents_see_numbers_names_and_order():
    one = {"a": torch.ones(2), "b": [1, "x", None]}
    others = [
        {"a": torch.ones(2).double(), "b": [1, "x", None]},
        {"a": torch.ones(2, 1), "b": [1, "x", None]},
        {"a": torch.zeros(2), "b": [1, "x", None]},
        {"c": torch.ones(2), "b": [1, "x", None]},
        {"a": torch.ones(2), "b": [1, None, "x"]},
    ]
    assert contents(one) == contents({"a": torch.ones(2), "b": (1, "x", None)})
    assert all(contents(one) != contents(other) for other in others)


def test_the_code_of_a_network_counts():
    assert model_code(nn.Linear(2, 2)) == []
    assert model_code(new(Named)) == model_code(new(Named)) != model_code(new(Writer))
