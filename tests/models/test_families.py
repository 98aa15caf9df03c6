from __future__ import annotations

import pytest
import torch
from torch import fx, nn
from torch.func import functional_call

from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator


def images(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=generator(0, "images"))


@pytest.mark.parametrize("size", [8, 9, 28, 32])
def test_logits_have_one_row_an_image(small, size, logits):
    family, options = small
    model = build(family, num_classes=7, input_size=size, **options)
    assert logits(model, images(2, size)).shape == (2, 7)
    assert logits(model, images(2, size)).isfinite().all()


def test_every_parameter_receives_a_gradient(small):
    family, options = small
    model = build(family, input_size=8, **options)
    initialize(model, scheme="garipov", generator=generator(0, "init"))
    model(images(4, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_forward_does_not_change_its_input_or_in_evaluation_mode_the_network(small, logits):
    family, options = small
    model = build(family, input_size=8, **options)
    x, before = images(2, 8), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    logits(model, x)
    assert torch.equal(x, images(2, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_symbolic_tracing_gives_the_same_logits_with_each_module_used_once(small, logits):
    family, options = small
    model = build(family, input_size=8, **options).eval()
    traced = fx.symbolic_trace(model)
    assert torch.equal(logits(traced, images(2, 8)), logits(model, images(2, 8)))
    targets = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    weighted = [
        name for name, module in model.named_modules() if next(module.parameters(recurse=False), None) is not None
    ]
    assert sorted(target for target in targets if target in weighted) == sorted(weighted)


def test_functional_call_uses_the_given_weights(small, logits):
    family, options = small
    model = build(family, input_size=8, **options).eval()
    other = build(family, input_size=8, **options)
    initialize(other, scheme="garipov", generator=generator(1, "init"))
    with torch.no_grad():
        called = functional_call(model, other.state_dict(), (images(2, 8),))
    assert torch.equal(called, logits(other, images(2, 8)))


def test_channels_last_gives_the_same_logits(small, logits):
    family, options = small
    model = build(family, input_size=8, **options).double()
    x = images(2, 8).double()
    expected = logits(model, x)
    found = logits(model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last))
    # float64 and another order of summation: rounding only
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_noshort_differs_from_resnet_only_by_what_the_shortcut_adds():
    with_shortcuts = build("resnet", depth=8, base_width=4)
    without = build("resnet", depth=8, base_width=4, shortcut=False)
    names = set(with_shortcuts.state_dict()) - set(without.state_dict())
    assert names == {name for name in with_shortcuts.state_dict() if ".shortcut." in name}
    without.load_state_dict({k: v for k, v in with_shortcuts.state_dict().items() if k not in names})
    block, bare = with_shortcuts.layer1[0].eval(), without.layer1[0].eval()
    x = torch.randn(2, 4, 8, 8, generator=generator(0, "maps"))
    with torch.no_grad():
        inner = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        assert torch.equal(bare(x), torch.relu(inner))
        assert torch.equal(block(x), torch.relu(inner + x))


def test_a_dense_layer_keeps_its_input_behind_the_new_maps():
    layer = build("densenet", depth=22, growth=4).dense1[0].eval()
    x = torch.randn(2, 8, 8, 8, generator=generator(0, "maps"))
    with torch.no_grad():
        assert torch.equal(layer(x)[:, 4:], x)


def test_a_vgg_pool_halves_a_map_and_passes_one_pixel():
    features = build("vgg", depth=16, variant="garipov", batch_norm=False, base_width=2).features
    pools = [module for module in features if isinstance(module, nn.MaxPool2d)]
    assert len(pools) == 5
    x = torch.randn(1, 2, 1, 1, generator=generator(0, "maps"))
    assert torch.equal(pools[0](x), x)
    assert pools[0](torch.zeros(1, 2, 32, 32)).shape == (1, 2, 16, 16)


def test_the_two_vgg_heads_are_the_papers():
    li = build("vgg", depth=9, device="meta")
    assert (li.fc[0].in_features, li.fc[0].out_features) == (256 * 4 * 4, 256)
    assert isinstance(li.fc[1], nn.BatchNorm1d)
    garipov = build("vgg", depth=16, variant="garipov", batch_norm=False, device="meta")
    assert [type(module).__name__ for module in garipov.fc] == ["Dropout", "Linear", "ReLU"] * 2
    assert not any("BatchNorm" in type(module).__name__ for module in garipov.modules())


def test_a_vgg_built_for_other_images_says_so_by_shape(logits):
    model = build("vgg", base_width=4, input_size=32)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        logits(model, images(1, 8))


def test_dropout_is_active_only_in_training(logits):
    model = build("wide_resnet", depth=10, widen=1, dropout=0.5, base_width=4, input_size=8)
    assert torch.equal(logits(model, images(2, 8)), logits(model, images(2, 8)))
    with torch.no_grad():
        model.train()
        assert not torch.equal(model(images(2, 8)), model(images(2, 8)))
