import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import CLASSES, same, snapshot
from landscape.cases import small_data
from lossatlas.landscape.initial import initial_losses
from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator

RTOL = 1e-10  # float64, sums in another order


def network(family="resnet", **options):
    options = {"depth": 8, "base_width": 2} | options
    return build(family, num_classes=CLASSES, input_size=8, **options).double()


def measured(model, examples, **options):
    return initial_losses(model, examples, **{"scheme": "torch", "seeds": [3], "batch_size": 3} | options)


def by_hand(model, seed, *, scheme="torch"):
    twin = copy.deepcopy(model)
    initialize(twin, scheme=scheme, generator=generator(seed, "init"))
    return twin


@pytest.mark.parametrize("scheme", ["torch", "glorot", "li"])
def test_both_modes_against_a_network_initialized_by_hand(scheme):
    model, (inputs, labels) = network(), small_data(7)
    found = measured(model, (inputs, labels), scheme=scheme, seeds=[3, 4])
    for i, seed in enumerate([3, 4]):
        twin = by_hand(model, seed, scheme=scheme)
        with torch.no_grad():
            whole = functional.cross_entropy(twin.eval()(inputs), labels)
            # batches of 3, 2 and 2 of the seven, each with its own statistics
            parts = [
                functional.cross_entropy(twin.train()(inputs[a:b]), labels[a:b], reduction="sum")
                for a, b in ((0, 3), (3, 5), (5, 7))
            ]
        assert found.eval_mode[i] == pytest.approx(float(whole), rel=RTOL)
        assert found.train_mode[i] == pytest.approx(float(sum(parts)) / 7, rel=RTOL)
        assert found.train_mode[i] != pytest.approx(found.eval_mode[i], rel=1e-6)


def test_the_whole_set_in_one_batch():
    model, (inputs, labels) = network(), small_data(6)
    found = measured(model, (inputs, labels), batch_size=6)
    with torch.no_grad():
        expected = functional.cross_entropy(by_hand(model, 3).train()(inputs), labels)
    assert found.train_mode[0] == pytest.approx(float(expected), rel=RTOL)


def test_tiny_linear_weights_start_at_the_logarithm_of_the_classes():
    found = measured(network(), small_data(8), scheme="li", seeds=range(4))
    for loss in (*found.train_mode, *found.eval_mode):
        assert loss == pytest.approx(math.log(CLASSES), abs=0.02)


def test_the_network_is_untouched_and_its_weights_do_not_count():
    model, examples = network(), small_data(8)
    before = snapshot(model)
    first = measured(model, examples)
    assert same(before, snapshot(model))
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(math.nan) if tensor.is_floating_point() else None
    assert measured(model, examples) == first


def test_dropout_is_off_in_both_modes():
    options = {"depth": 10, "widen": 1}
    plain, dropping = (network("wide_resnet", dropout=rate, **options) for rate in (0.0, 0.5))
    examples = small_data(8)
    assert measured(plain, examples) == measured(dropping, examples)


def test_networks_without_batch_statistics_have_one_loss():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)).double()
    found = measured(model, small_data(5), batch_size=2)
    assert found.train_mode == pytest.approx(found.eval_mode, rel=RTOL)


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (4, 1)])
def test_single_examples_are_refused(n, batch_size):
    with pytest.raises(ValueError, match=f"{n} examples in batches of {batch_size}: .* need at least 2 of each"):
        measured(network(), small_data(n), batch_size=batch_size)
