import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import brute_force, same, snapshot
from landscape.cases import small_data, small_model
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.gradients import gradient_agreement, mini_batches
from lossatlas.landscape.points import displaced

RTOL = 1e-10  # float64, sums in another order


def linear(weight):
    model = nn.Linear(len(weight), 2, bias=True).double()
    model.weight.data = torch.tensor([weight, [0.0] * len(weight)], dtype=torch.float64)
    model.bias.data.zero_()
    return model


def one(*values, label):
    return torch.tensor([values], dtype=torch.float64), torch.tensor([label])


def test_identical_batches_agree_entirely():
    batch = small_data(4)
    found = gradient_agreement(small_model(), [batch] * 3)
    assert found.mean_cosine == pytest.approx(1, abs=1e-14)
    assert found.std_cosine == pytest.approx(0, abs=1e-14)
    assert (found.batches, found.batch_size) == (3, 4)


def test_closed_form_of_opposite_and_orthogonal_gradients():
    # at zero weights the gradient of an example is (p - y) x', with p = 1/2: norm |x| / sqrt(2)
    batches = [one(1.0, 0.0, label=0), one(3.0, 0.0, label=1), one(0.0, 2.0, label=0)]
    found = gradient_agreement(linear([0.0, 0.0]), batches)
    cosines = [-1.0, 0.0, 0.0]
    assert found.mean_cosine == pytest.approx(np.mean(cosines), abs=1e-15)
    assert found.std_cosine == pytest.approx(np.std(cosines), rel=1e-12)
    assert found.mean_norm == pytest.approx(2 / math.sqrt(2), rel=1e-12)
    assert found.loss == pytest.approx(math.log(2), rel=1e-12)


def test_brute_force_away_from_the_checkpoint():
    model, examples = small_model(), small_data(12)
    directions = [random_direction(model.state_dict(), seed=1, stream=f"direction_{axis}") for axis in "xy"]
    state = displaced(model.state_dict(), directions, (0.5, -0.25))
    batches = mini_batches(examples, batches=4, batch_size=3, seed=0)
    found = gradient_agreement(model, batches, state=state)
    twin = copy.deepcopy(model).eval()
    twin.load_state_dict(state)
    rows = []
    for inputs, labels in batches:
        twin.zero_grad()
        functional.cross_entropy(twin(inputs), labels).backward()
        rows.append(torch.cat([p.grad.reshape(-1) for p in twin.parameters() if p.dim() > 1]))
    cosines = [float(functional.cosine_similarity(rows[i], rows[j], 0)) for i in range(4) for j in range(i)]
    assert found.mean_cosine == pytest.approx(np.mean(cosines), rel=RTOL)
    assert found.std_cosine == pytest.approx(np.std(cosines), rel=RTOL)
    assert found.mean_norm == pytest.approx(np.mean([float(row.norm()) for row in rows]), rel=RTOL)
    # the mini-batches are the whole set
    assert found.loss == pytest.approx(brute_force(model, state, *examples)[0], rel=RTOL)
    assert found.mean_cosine != pytest.approx(gradient_agreement(model, batches).mean_cosine, rel=1e-3)


def test_the_network_is_untouched():
    model = small_model().train()
    model.conv1.weight.requires_grad_(False)
    before = snapshot(model)
    gradient_agreement(model, [small_data(2), small_data(2, seed=5)])
    assert same(before, snapshot(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gradient_of_zero_has_no_cosine():
    found = gradient_agreement(linear([1.0]), [one(0.0, label=0), one(1.0, label=1)])
    assert math.isnan(found.mean_cosine) and found.mean_norm > 0


def test_mini_batches_are_disjoint_random_and_repeatable():
    inputs = torch.arange(10.0)[:, None]
    examples = (inputs, torch.arange(10))
    found = mini_batches(examples, batches=3, batch_size=3, seed=0)
    labels = torch.cat([labels for _, labels in found]).tolist()
    assert len(labels) == len(set(labels)) == 9 and labels != sorted(labels)
    assert all(torch.equal(x[:, 0], y.float()) for x, y in found)
    again, other = (mini_batches(examples, batches=3, batch_size=3, seed=seed) for seed in (0, 1))
    assert torch.cat([labels for _, labels in again]).tolist() == labels
    assert torch.cat([labels for _, labels in other]).tolist() != labels


def test_too_few_examples_or_batches_are_refused():
    with pytest.raises(ValueError, match="4 disjoint mini-batches of 2 need 8 examples, there are 7"):
        mini_batches(small_data(7), batches=4, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="1 mini-batches of 2; gradients are compared from 2"):
        mini_batches(small_data(7), batches=1, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="1 mini-batches; pairs need at least 2"):
        gradient_agreement(small_model(), [small_data(2)])
