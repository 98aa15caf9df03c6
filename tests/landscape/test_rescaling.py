import copy

import numpy as np
import pytest
import torch
from torch import nn

from engine.cases import CLASSES, Hooked, Plain, TiedWeights, made, same, snapshot
from landscape.cases import small_data, small_model
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.rescaling import LayerPair, consecutive_layers, rescale_filters, rescale_layers
from lossatlas.landscape.surfaces import line
from lossatlas.models import build
from models.conftest import SMALL

# float64 through a few dozen layers
EXACT = {"rtol": 1e-9, "atol": 1e-10}


def network(name):
    family, options = SMALL[name]
    return made(lambda: build(family, num_classes=CLASSES, input_size=8, **options))


def logits(model, state, *, training=False):
    twin = copy.deepcopy(model)
    twin.load_state_dict(state)
    with torch.no_grad():
        return twin.train(training)(small_data()[0])


def changed(model, state):
    before = model.state_dict()
    assert before.keys() == state.keys()
    return {name for name, tensor in state.items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("name", SMALL)
def test_one_layer_larger_and_the_next_smaller_is_the_same_function(name):
    model = network(name)
    before = snapshot(model)
    state = rescale_layers(model, 10.0)
    assert same(before, snapshot(model))
    pair = consecutive_layers(model)[0]
    parts = {f"{pair.first}.weight", f"{pair.first}.bias", f"{pair.second}.weight"}
    assert changed(model, state) == parts & state.keys()
    assert torch.equal(state[f"{pair.first}.weight"], model.get_parameter(f"{pair.first}.weight") * 10)
    torch.testing.assert_close(logits(model, state), logits(model, model.state_dict()), **EXACT)


# no layer is followed by nothing but a batch normalization: there is none, dropout comes first, or a concatenation
WITHOUT = ("vgg16-garipov", "wrn10-2-dropout", "densenet16")


@pytest.mark.parametrize("name", [name for name in SMALL if name not in WITHOUT])
@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_filters_before_a_batch_normalization_have_no_scale(name, factor):
    model = network(name)
    before = snapshot(model)
    state = rescale_filters(model, factor)
    assert same(before, snapshot(model))
    scaled = {name for name in changed(model, state) if model.state_dict()[name].dim() > 1}
    assert scaled and all(torch.equal(state[n], model.get_parameter(n) * factor) for n in scaled)
    torch.testing.assert_close(logits(model, state), logits(model, model.state_dict()), **EXACT)


def test_every_convolution_of_a_resnet_is_followed_by_a_normalization():
    model = small_model()
    convolutions = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    state = rescale_filters(model, 100.0)
    statistics = {n for n in state if n.endswith(("running_mean", "running_var"))}
    assert changed(model, state) == convolutions | statistics
    eps, before = model.bn1.eps, model.bn1.running_var
    torch.testing.assert_close(state["bn1.running_var"] + eps, 1e4 * (before + eps), rtol=1e-14, atol=0)


def test_a_pair_without_normalization_comes_first():
    first = {name: consecutive_layers(network(name))[0] for name in ("vgg16-garipov-bn", "vgg9", "resnet14")}
    # two linear layers with ReLU and dropout between them
    assert first["vgg16-garipov-bn"] == LayerPair("fc.1", "fc.4", normalized=False)
    assert first["vgg9"] == LayerPair("features.1", "features.3", normalized=True)
    # the output of bn1 is read twice: by the block and by its shortcut
    assert first["resnet14"] == LayerPair("layer1.0.bn1", "layer1.0.conv2", normalized=True)


def test_pairs_lie_across_pooling_and_views_but_not_across_sums_or_other_functions():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.middle = nn.Linear(36, 5)
            self.after = nn.Linear(5, 5)
            self.out = nn.Linear(5, CLASSES)

        def forward(self, x):
            x = torch.relu(nn.functional.max_pool2d(self.conv(x), 2))
            x = torch.tanh(self.middle(x.view(x.size(0), -1)))
            x = torch.relu(self.after(x) + 1)
            return self.out(x)

    model = Mixed().double()
    assert consecutive_layers(model) == [LayerPair("conv", "middle", normalized=False)]
    torch.testing.assert_close(logits(model, rescale_layers(model, 3.0)), logits(model, model.state_dict()), **EXACT)


def test_any_pair_can_be_named():
    model = network("vgg9")
    pairs = consecutive_layers(model)
    assert len(pairs) == 8 and pairs[-1] == LayerPair("fc.1", "classifier", normalized=True)
    state = rescale_layers(model, 10.0, pair=pairs[-1])
    assert changed(model, state) == {"fc.1.weight", "fc.1.bias", "classifier.weight"}
    torch.testing.assert_close(logits(model, state), logits(model, model.state_dict()), **EXACT)


class Squared(Plain):
    """Two layers and a ReLU, and a hook unseen by the tracer."""

    def __init__(self, *, on):
        super().__init__()
        self.norm = nn.Conv2d(5, 5, 1)
        getattr(self, on).register_forward_hook(lambda _module, _inputs, output: output * output)

    def forward(self, x):
        return self.out(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize("on", ["norm", "out"])
def test_layers_with_hooks_are_left_alone(on):
    assert consecutive_layers(Squared(on="conv")) == [LayerPair("norm", "out", normalized=False)]
    assert consecutive_layers(Squared(on=on)) == []


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(192, 192), nn.Linear(192, CLASSES)

    def forward(self, x):
        return self.out(torch.relu(self.layer(torch.relu(self.layer(x.flatten(1))))))


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(192, 6), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(x.flatten(1))))


@pytest.mark.parametrize("build", [Reused, Smooth, lambda: nn.Linear(3, CLASSES)])
def test_networks_without_such_layers_are_refused(build):
    with pytest.raises(ValueError, match=r"has no two layers with only a ReLU between them.*pair=LayerPair"):
        rescale_layers(build(), 10.0)


@pytest.mark.parametrize("build", [Hooked, TiedWeights, *(lambda name=name: network(name) for name in WITHOUT)])
def test_filters_without_a_normalization_of_their_own_are_left_alone(build):
    with pytest.raises(ValueError, match=r"no layer that is followed by nothing but a batch normalization"):
        rescale_filters(build(), 100.0)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("rescale", [rescale_layers, rescale_filters])
def test_factors_that_a_relu_does_not_pass_are_refused(rescale, factor):
    with pytest.raises(ValueError, match=f"factor = {factor} is impossible"):
        rescale(Plain(), factor)


@pytest.mark.parametrize("rescale", [lambda m: rescale_layers(m, 10.0), lambda m: rescale_filters(m, 100.0)])
@pytest.mark.parametrize("name", ["vgg9", "resnet14"])
@pytest.mark.parametrize("exclude_1d", [True, False])
def test_filter_normalized_lines_stay_and_unnormalized_ones_change(name, rescale, exclude_1d):
    model, data, alpha = network(name), small_data(4), [-0.5, 0.0, 0.5]
    twin = copy.deepcopy(model)
    twin.load_state_dict(rescale(model))
    losses = {}
    for kind in ("filter", "none"):
        for which in (model, twin):
            direction = random_direction(which.state_dict(), seed=1, normalization=kind, exclude_1d=exclude_1d)
            losses[kind, which is twin] = line(which, data, direction=direction, alpha=alpha).train_loss
    np.testing.assert_allclose(losses["filter", True], losses["filter", False], rtol=1e-8)
    assert losses["none", True][1] == pytest.approx(losses["none", False][1], rel=1e-9)
    assert np.abs(losses["none", True] / losses["none", False] - 1)[[0, 2]].max() > 0.01
