import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import CLASSES, EXACT, Overwriting, Plain, TiedWeights, Untraceable, View, made, same, snapshot
from landscape.cases import small_data, small_model
from landscape.hessian_cases import NETWORKS, dense_gradient, dense_hessian
from lossatlas.landscape import second_order
from lossatlas.landscape.curvature import HessianOperator
from waiting import Waiting

# float32 products: about 1e-6 of the product's length, whatever the batches
SINGLE = 1e-5


class Odd(nn.Module):
    """Strides, groups, dilation, a padding by name, biases, and rectifiers of three spellings."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding="same")
        self.second = nn.Conv2d(4, 4, (3, 1), stride=2, padding=(1, 0), groups=2)
        self.third = nn.Conv2d(4, 6, 3, padding=2, dilation=2, bias=False)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, x):
        h = functional.relu(self.first(x))
        h = functional.relu(self.second(h), inplace=True)
        h = functional.conv2d(h, stride=1, weight=self.third.weight, padding=2, dilation=2)
        return self.out(torch.relu(torch.tanh(h) + 0.1).mean((2, 3)))


def vector(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("weights", ["matrices", "all"])
@pytest.mark.parametrize("name", NETWORKS)
def test_products_and_gradient_are_those_of_the_dense_hessian(name, weights):
    build, data = NETWORKS[name]
    model = build()
    dense = dense_hessian(model, data(), weights)
    operator = HessianOperator(model, data(), batch_size=3, weights=weights)
    assert operator.size == len(dense)
    for seed in range(3):
        v = vector(operator.size, seed)
        torch.testing.assert_close(operator.product(v), dense @ v, **EXACT)
    torch.testing.assert_close(operator.gradient(), dense_gradient(model, data(), weights), **EXACT)


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")  # that network's own
@pytest.mark.parametrize("kind", [Odd, View, Overwriting, TiedWeights, Untraceable])
@pytest.mark.parametrize("batch_size", [3, 7])
def test_unusual_networks(kind, batch_size):
    model, (inputs, labels) = made(kind), small_data()
    kept = inputs.clone()
    # a network that writes to its inputs would change those of the reference
    dense = dense_hessian(model, (inputs, labels), "all") if kind is not Overwriting else None
    operator = HessianOperator(model, (inputs, labels), batch_size=batch_size, weights="all")
    v = vector(operator.size)
    found = operator.product(v)
    if dense is None:
        plain = made(Plain)
        plain.load_state_dict(model.state_dict())
        dense = dense_hessian(plain, (kept - 0.5, labels), "all")
    torch.testing.assert_close(found, dense @ v, **EXACT)
    assert torch.equal(operator.product(v), found)
    assert torch.equal(inputs, kept)


def test_products_are_pytorchs_own_where_an_operator_is_missing(monkeypatch):
    model, data = made(Odd), small_data()
    calls, apply = [], second_order._Convolution.apply
    monkeypatch.setattr(second_order._Convolution, "apply", lambda *given: calls.append(given) or apply(*given))
    ours = HessianOperator(model, data, weights="all")
    v = vector(ours.size)
    product, gradient = ours.product(v), ours.gradient()
    assert calls
    calls.clear()
    monkeypatch.setattr(second_order, "_OPERATORS", (*second_order._OPERATORS, "no_such_operator"))
    plain = HessianOperator(model, data, weights="all")
    torch.testing.assert_close(plain.product(v), product, **EXACT)
    torch.testing.assert_close(plain.gradient(), gradient, **EXACT)
    assert not calls


@pytest.mark.parametrize("batch_size", [2, 3, 10])
def test_batches_are_weighted_by_their_size(batch_size):
    model, data = small_model().float(), small_data(11, dtype=torch.float32)
    whole = HessianOperator(model, data, batch_size=11)
    parts = HessianOperator(model, data, batch_size=batch_size)
    v = vector(whole.size)
    for expected, found in ((whole.product(v), parts.product(v)), (whole.gradient(), parts.gradient())):
        assert float((found - expected).norm()) <= SINGLE * float(expected.norm())


@pytest.mark.parametrize("batch_size", [2, 11])
def test_a_product_waits_for_nothing_and_stays_where_its_vector_is(batch_size):
    model, data = small_model().float(), small_data(11, dtype=torch.float32)
    operator = HessianOperator(model, data, batch_size=batch_size)
    v = vector(operator.size)
    with Waiting() as waiting:
        found = operator.product(v)
    assert waiting.count == 0
    assert (found.device, found.dtype) == (v.device, torch.float64)


def test_single_precision_is_as_accurate_as_it_can_be():
    model, data = small_model(), small_data()
    operator = HessianOperator(model.float(), (data[0].float(), data[1]))
    v = vector(operator.size)
    # the same rounded weights and images, in float64
    exact = HessianOperator(model.double(), (data[0].float().double(), data[1])).product(v)
    found = operator.product(v)
    assert found.dtype == torch.float64
    assert float((found - exact).norm()) <= SINGLE * float(exact.norm())


@pytest.mark.parametrize("batch_size", [3, 7])
def test_moves_to_other_points_and_back(batch_size):
    model, other, data = small_model(base_width=1), small_model(base_width=1), small_data()
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers()]:
            if tensor.is_floating_point():
                tensor.mul_(1.1)
    operator = HessianOperator(model, data, batch_size=batch_size)
    v = vector(operator.size)
    first = operator.product(v)
    operator.load(other.state_dict())
    moved = operator.product(v)
    torch.testing.assert_close(moved, dense_hessian(other, data, "matrices") @ v, **EXACT)
    assert float((moved - first).norm()) > 1e-3 * float(first.norm())
    operator.load(model.state_dict())
    assert torch.equal(operator.product(v), first)


def test_the_point_is_a_copy():
    model, data = small_model(base_width=1), small_data()
    operator, state = HessianOperator(model, data), {n: t.clone() for n, t in model.state_dict().items()}
    operator.load(state)
    v = vector(operator.size)
    before = operator.product(v)
    for tensor in state.values():
        tensor.zero_()
    assert torch.equal(operator.product(v), before)


def test_vectors_are_in_the_models_order():
    model = made(Plain)
    operator = HessianOperator(model, small_data(), weights="all")
    state = dict(model.named_parameters())
    flat = operator.flatten(model.state_dict())
    assert torch.equal(flat, torch.cat([p.detach().reshape(-1) for p in state.values()]))
    parts = operator.unflatten(flat)
    assert list(parts) == list(state)
    assert all(torch.equal(parts[name], state[name]) for name in state)
    only = operator.flatten({"out.bias": torch.ones(CLASSES), "unknown": torch.ones(2)})
    assert float(only.sum()) == CLASSES
    assert torch.equal(operator.unflatten(only)["out.bias"], torch.ones(CLASSES, dtype=torch.float64))
    assert HessianOperator(model, small_data()).size == sum(p.numel() for p in model.parameters() if p.dim() > 1)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_and_the_vector_are_left_alone(training):
    model = small_model().train(training)
    before = snapshot(model)
    operator = HessianOperator(model, small_data(), batch_size=3)
    v = vector(operator.size)
    kept = v.clone()
    operator.load({name: 1.5 * t if t.is_floating_point() else t for name, t in model.state_dict().items()})
    operator.product(v)
    operator.gradient()
    assert same(before, snapshot(model))
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(v, kept)


def test_frozen_parameters_count_and_gradient_mode_does_not():
    model, data = made(Plain), small_data()
    expected = HessianOperator(model, data).gradient()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(HessianOperator(model, data).gradient(), expected)


def test_a_parameter_that_is_not_used_has_zeros():
    model = made(Plain)
    model.spare = nn.Linear(2, 2).double()
    operator = HessianOperator(model, small_data(), weights="all")
    found = operator.unflatten(operator.product(vector(operator.size)))
    assert not found["spare.weight"].any()
    assert found["conv.weight"].any()


def test_refusals():
    model, data = made(Plain), small_data()
    with pytest.raises(ValueError, match="weights is 'conv'; it must be 'matrices' or 'all'"):
        HessianOperator(model, data, weights="conv")
    operator = HessianOperator(model, data)
    with pytest.raises(ValueError, match=rf"has shape \(3,\); it must be \({operator.size},\)"):
        operator.product(torch.zeros(3))
