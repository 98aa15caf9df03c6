from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.models.weights import weights_hash
from lossatlas.randomness import generator

SCHEMES = ["li", "garipov", "torch", "glorot"]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 128, 3, bias=False), nn.Flatten(), nn.Linear(512, 256)
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small, scheme):
    family, options = small
    hashes = []
    for seed in (0, 0, 1):
        model = build(family, input_size=8, **options)
        initialize(model, scheme=scheme, generator=generator(seed, "init"))
        hashes.append(weights_hash(model.state_dict()))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_and_running_statistic_is_set(small, scheme):
    family, options = small
    model = build(family, input_size=8, **options)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(77)
    initialize(model, scheme=scheme, generator=generator(0, "init"))
    assert not any((tensor == 77).any() for tensor in model.state_dict().values())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert (module.running_mean == 0).all()
            assert (module.running_var == 1).all()
            assert module.num_batches_tracked == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_global_random_state_is_untouched(scheme):
    model = network()
    before = torch.get_rng_state()
    initialize(model, scheme=scheme, generator=generator(0, "init"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("scheme", "convolution", "linear"),
    [
        ("li", math.sqrt(2 / (32 * 9)), 1e-3),
        ("garipov", math.sqrt(2 / (64 * 9)), 1 / math.sqrt(3 * 512)),
        ("torch", 1 / math.sqrt(3 * 32 * 9), 1 / math.sqrt(3 * 512)),
        ("glorot", math.sqrt(2 / ((32 + 64) * 9)), math.sqrt(2 / (512 + 256))),
    ],
)
def test_standard_deviations_are_those_of_the_scheme(scheme, convolution, linear):
    model = network()
    initialize(model, scheme=scheme, generator=generator(0, "init"))
    # the standard deviation of n values has a relative error of 1 / sqrt(2 n), 0.5 % for 18,432: allow 4 of them
    assert model[0].weight.std().item() == pytest.approx(convolution, rel=0.02)
    assert abs(model[0].weight.mean().item()) < 4 * convolution / math.sqrt(model[0].weight.numel())
    assert model[4].weight.std().item() == pytest.approx(linear, rel=0.01)
    zero_biases = {"li": (True, True), "garipov": (True, False), "torch": (False, False), "glorot": (True, True)}
    assert ((model[0].bias == 0).all().item(), (model[4].bias == 0).all().item()) == zero_biases[scheme]


def test_torch_is_what_pytorch_does_at_construction():
    torch.manual_seed(5)
    expected = network().state_dict()
    model = network()
    initialize(model, scheme="torch", generator=torch.Generator().manual_seed(5))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_the_memory_format_does_not_matter():
    models = [network(), network().to(memory_format=torch.channels_last)]
    for model in models:
        initialize(model, scheme="li", generator=generator(0, "init"))
    assert torch.equal(models[0][0].weight, models[1][0].weight)
    assert models[1][0].weight.is_contiguous(memory_format=torch.channels_last)


def test_groups_count_in_the_fan():
    model = nn.Sequential(nn.Conv2d(64, 64, 3, groups=64))
    initialize(model, scheme="li", generator=generator(0, "init"))
    # 576 values: relative error 3 %
    assert model[0].weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.1)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match=r"scheme = 'he' is unknown; allowed: li, garipov, torch, glorot"):
        initialize(network(), scheme="he", generator=generator(0, "init"))


def test_a_module_no_scheme_covers_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Bilinear(2, 2, 2))
    with pytest.raises(
        ValueError, match=r"module '1' of type Bilinear has parameters that no scheme covers; allowed: con"
    ):
        initialize(model, scheme="li", generator=generator(0, "init"))


def test_layer_and_group_norm_become_the_identity():
    model = nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, affine=False))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 5.0)
    initialize(model, scheme="glorot", generator=generator(0, "init"))
    assert [parameter.sum().item() for parameter in model.parameters()] == [4.0, 0.0, 4.0, 0.0]
