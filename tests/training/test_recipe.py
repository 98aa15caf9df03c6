"""What a recipe refuses, keeps and makes."""

import dataclasses

import pytest
import torch

from lossatlas.settings.runs import ScheduleOptions, TrainSettings
from lossatlas.training import schedules
from lossatlas.training.recipe import Recipe
from training.cases import plain_network, recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "rmsprop"}, "optimizer = 'rmsprop' is unknown; allowed: sgd, adam"),
        ({"precision": "fp16"}, "precision = 'fp16' is unknown; allowed: float32, tf32, bf16"),
        ({"schedule": "warmup"}, "schedule = 'warmup' is unknown; allowed: constant, "),
        ({"normalization": "none"}, "normalization = 'none' is unknown; allowed: li, "),
        ({"initialization": "zero"}, "initialization = 'zero' is unknown; allowed: li, "),
        ({"epochs": -1}, "epochs = -1 is impossible; it must be at least 0"),
        ({"batch_size": 0}, "batch_size = 0 is impossible; it must be at least 1"),
        ({"micro_batch": 0}, "micro_batch = 0 is impossible; it must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every = 0 is impossible; it must be at least 1"),
        ({"lr": 0.0}, "lr = 0.0 is impossible; it must be finite and above 0, for example 0.1"),
        ({"lr": -0.1}, "lr = -0.1 is impossible; it must be finite and above 0, for example 0.1"),
        ({"lr": float("nan")}, "lr = nan is impossible; it must be finite and above 0, for example 0.1"),
        ({"lr": float("inf")}, "lr = inf is impossible; it must be finite and above 0, for example 0.1"),
        ({"momentum": 1.0}, "momentum = 1.0 is impossible; it must be at least 0 and below 1"),
        ({"momentum": -0.5}, "momentum = -0.5 is impossible; it must be at least 0 and below 1"),
        ({"weight_decay": -1e-4}, "weight_decay = -0.0001 is impossible; it must be at least 0 and finite"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError) as caught:
        recipe(**settings)
    assert message in str(caught.value)


def test_it_keeps_the_first_the_last_and_the_named_epochs():
    assert [e for e in range(8) if recipe(epochs=7, checkpoints=[2, 5]).keeps(e)] == [0, 2, 5, 7]
    assert [e for e in range(8) if recipe(epochs=0).keeps(e)] == [0]


def test_it_keeps_regular_epochs():
    made = recipe(epochs=7, checkpoint_every=3, checkpoints=[5])
    assert [e for e in range(8) if made.keeps(e)] == [0, 3, 5, 6, 7]


def test_checkpoints_may_be_an_iterator():
    made = recipe(epochs=9, checkpoints=iter(range(0, 9, 3)))
    assert [[e for e in range(10) if made.keeps(e)] for _ in range(2)] == [[0, 3, 6, 9]] * 2


def test_its_settings_are_plain_values():
    made = Recipe(epochs=1, batch_size=2, augment={"padding": 1, "flip": False}, checkpoints=range(2))
    assert made.settings().keys() == {item.name for item in dataclasses.fields(Recipe)}
    assert made.settings()["augment"] == {"padding": 1, "flip": False} and made.settings()["checkpoints"] == (0, 1)


def test_optimizers():
    sgd = recipe(weight_decay=0.01).make_optimizer(plain_network())
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"], group["dampening"]) == (0.9, True, 0.01, 0)
    assert len(sgd.param_groups) == 1 and len(group["params"]) == 4  # weight decay on biases too
    plain = recipe(momentum=0.0).make_optimizer(plain_network())
    assert plain.param_groups[0]["nesterov"] is False
    adam = recipe(optimizer="adam", weight_decay=0.01).make_optimizer(plain_network())
    assert type(adam) is torch.optim.Adam
    group = adam.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 0.01)
    assert not group.get("decoupled_weight_decay", False)


@pytest.mark.parametrize("kind", schedules._OPTIONS)
def test_the_settings_file_and_the_schedules_agree_on_options(kind):
    values = {"fractions": [0.5], "factor": 0.1, "cycles": 2, "low": 0.1, "cycle_epochs": 1}
    values |= {"flat": 0.5, "end": 0.9, "last": 0.01}
    assert values.keys() == ScheduleOptions.model_fields.keys()
    needed, optional = schedules._OPTIONS[kind]

    def accepted(names):
        options = {name: values[name] for name in names}
        given = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "augment": None, "schedule": kind}
        given |= {"epochs": 1, "batch_size": 2, "normalization": "li", "initialization": "li"}
        try:
            TrainSettings.model_validate({**given, "schedule_options": options})
        except ValueError:
            return False
        return True

    base = {"fractions"} if kind == "step_drops" else set(needed)  # params.yaml names the fractions
    assert accepted(base)
    assert all(accepted(base | {name}) == (name in (*needed, *optional)) for name in values)
    assert all(not accepted(base - {name}) for name in base)
