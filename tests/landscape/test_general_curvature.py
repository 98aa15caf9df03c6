import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from engine.cases import Plain, examples, made
from engine.own_cases import Named, Writer, new, numbers, padded_loss, sequence_loss, sequences
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.general_curvature import GeneralHessian, hessian_operator


def whole_matrix(model, names, loss):
    """The Hessian over some weights by nested automatic differentiation, (n, n)."""
    model = model.eval()
    values = {name: dict(model.named_parameters())[name].detach() for name in names}
    sizes = [values[name].numel() for name in names]

    def value(vector):
        parts = torch.split(vector, sizes)
        return loss(
            lambda *args, **kw: functional_call(
                model, {n: p.view(values[n].shape) for n, p in zip(names, parts, strict=True)}, args, kw
            )
        )

    return hessian(value, torch.cat([values[name].reshape(-1) for name in names]))


@pytest.mark.parametrize("batch_size", [3, 7])
@pytest.mark.parametrize("weights", ["matrices", "all"])
def test_products_are_those_of_the_whole_matrix(batch_size, weights):
    model, data = new(Named), numbers()
    operator = GeneralHessian(model, data, weights=weights, batch_size=batch_size)
    expected = whole_matrix(model, list(operator.shapes), lambda net: net(**data).loss)
    found = torch.stack([operator.product(row) for row in torch.eye(operator.size, dtype=torch.float64)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [sequence_loss, padded_loss])
def test_products_of_a_transformer_with_tied_weights(loss):
    model, (x, y) = new(Writer), sequences()
    operator = GeneralHessian(model, (x, y), loss=loss, batch_size=4)
    assert "head.weight" not in operator.shapes
    vector = torch.randn(operator.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # a difference of gradients, whose error is that of float64 over the step
    step, state, pieces = 1e-5, model.state_dict(), operator.unflatten(vector)
    gradients = []
    for sign in (1, -1):
        operator.load({name: t + sign * step * pieces.get(name, torch.zeros(())) for name, t in state.items()})
        gradients.append(operator.gradient())
    operator.load(state)
    torch.testing.assert_close(
        operator.product(vector), (gradients[0] - gradients[1]) / (2 * step), rtol=1e-5, atol=1e-7
    )


def test_a_classifier_has_the_hessian_of_the_fast_operator():
    model, data = made(Plain), examples()
    fast, slow = HessianOperator(model, data, batch_size=3), GeneralHessian(model, data, batch_size=3)
    fast.load(model.state_dict())
    vector = torch.randn(fast.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(slow.product(vector), fast.product(vector), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(slow.gradient(), fast.gradient(), rtol=1e-8, atol=1e-10)
    assert slow.shapes == fast.shapes


def test_the_choice_of_an_operator():
    model, data = made(Plain), examples()
    assert isinstance(hessian_operator(model, data), HessianOperator)
    assert isinstance(hessian_operator(model, data, loss=nn.CrossEntropyLoss()), GeneralHessian)
    assert isinstance(hessian_operator(new(Named), numbers()), GeneralHessian)


def test_impossible_weights_and_vectors_are_refused():
    with pytest.raises(ValueError, match="weights is 'some'; it must be 'matrices' or 'all'"):
        GeneralHessian(new(Named), numbers(), weights="some")
    operator = GeneralHessian(new(Named), numbers())
    with pytest.raises(ValueError, match=r"the vector has shape .3,.; it must be .42,."):
        operator.product(torch.zeros(3))
