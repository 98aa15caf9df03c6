"""Trainings that end in numbers that are none."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lossatlas.results import History
from training.cases import Kept, make_data, network, plain_network, recipe, run, same_states

DATA = make_data()
MARKED = 255


class Doomed(nn.Module):
    """Logits that are NaN in eval mode under a condition."""

    def __init__(self, condition):
        super().__init__()
        self.net, self.condition = plain_network(), condition
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.steps += self.training
        logits = self.net(x)
        return logits if self.training else torch.where(self.condition(self, x), math.nan, logits)


def test_an_absurd_learning_rate_ends_the_run_with_a_note(tmp_path):
    keep = Kept()
    history, _ = run(
        network("resnet", depth=8, base_width=4),
        DATA,
        recipe(epochs=6, lr=1e12),
        keep=keep,
        state=tmp_path / "state.pt",
    )
    assert history.status == "diverged"
    last = history.epoch[-1]
    assert 1 <= last < 6
    assert history.note == f"epoch {last}: weights not finite"
    assert len(history.train_loss) == last + 1 and len(history.step) == 4 * last
    assert np.isfinite(history.train_loss[:last]).all() and history.learning_rate[last] == 1e12
    assert sorted(keep) == [0, last]
    assert any(not tensor.isfinite().all() for tensor in keep[last].values())
    history.save(tmp_path / "history.h5")
    loaded = History.load(tmp_path / "history.h5")
    assert (loaded.status, loaded.note) == ("diverged", history.note)
    np.testing.assert_array_equal(loaded.step_weight_norm, history.step_weight_norm)


def test_a_diverged_run_is_not_trained_on(tmp_path):
    def start(**options):
        model = plain_network()
        for hook in options.pop("hooks", ()):
            model.register_forward_hook(hook)
        return model, run(model, DATA, recipe(epochs=6, lr=1e30), state=tmp_path / "state.pt", **options)

    def refuse(module, *_):
        assert not module.training, "trained on"

    rows = []
    model, (history, kept) = start()
    again_model, (again, again_kept) = start(hooks=[refuse], on_epoch=rows.append)
    assert history.status == again.status == "diverged" and history.note == again.note
    assert again.epoch.tolist() == history.epoch.tolist() and len(rows) == len(history.epoch)
    assert kept and not again_kept
    for one, other in zip(model.parameters(), again_model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_a_training_loss_that_is_not_finite_is_divergence():
    history, kept = run(Doomed(lambda self, _: self.steps >= 5), DATA, recipe(epochs=4))
    assert history.status == "diverged" and history.note == "epoch 2: training loss not finite"
    assert math.isnan(history.train_loss[2]) and sorted(kept) == [0, 2]


def test_a_test_loss_alone_is_no_divergence(tmp_path):
    images = DATA.test_images.clone()
    images[3, :, 0, 0] = MARKED
    data = type(DATA)(DATA.train_images, DATA.train_labels, images, DATA.test_labels, DATA.classes, "marked")
    # a pixel of 255 is above 2 after normalization, one of 0 below
    model = Doomed(lambda _, x: x[:, :1, 0, 0] > 2)
    history, _ = run(model, data, recipe(epochs=2))
    assert (history.status, history.note) == ("finished", "")
    assert np.isnan(history.test_loss).all() and np.isfinite(history.train_loss).all()
    assert np.isnan(history.test_error).all() and np.isfinite(history.train_error).all()
    history.save(tmp_path / "history.h5")
    assert np.isnan(History.load(tmp_path / "history.h5").test_loss).all()


def test_an_initialization_that_is_not_finite_is_not_trained():
    model = plain_network()
    with torch.no_grad():
        model[0].weight[0] = math.inf
    history, kept = run(model, DATA, recipe(epochs=3))
    assert history.status == "diverged" and history.note == "epoch 0: weights not finite"
    assert len(history.step) == 0 and list(kept) == [0]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_diverged_run_is_the_same_every_time(optimizer):
    settings = recipe(epochs=3, lr=1e37, optimizer=optimizer)
    (one, kept), (other, others) = (run(plain_network(), DATA, settings) for _ in range(2))
    assert one.status == other.status == "diverged"
    assert kept.keys() == others.keys() and same_states(kept[0], others[0])
    np.testing.assert_array_equal(one.step_weight_norm, other.step_weight_norm)
