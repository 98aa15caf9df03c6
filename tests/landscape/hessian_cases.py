"""Dense Hessians of small networks, by plain PyTorch operations."""

import copy

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from engine.cases import CLASSES, Plain, examples, made
from landscape.cases import small_data, small_model


def mlp():
    """A ReLU network of 1 hidden layer on 2x2 images: 84 weights and 10 biases."""
    return made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, CLASSES)), seed=4)


NETWORKS = {
    "convolution and batch norm": (lambda: made(lambda: Plain(bias=True)), small_data),
    "residual": (lambda: small_model(base_width=1), small_data),
    "perceptron": (mlp, lambda n=7: examples(n, size=2)),
}


def names_of(model, weights):
    return [name for name, p in model.named_parameters() if weights == "all" or p.dim() > 1]


def mean_loss(model, data, names):
    """The loss as a function of one flat vector, and the vector at the model's weights."""
    net = copy.deepcopy(model).eval()
    # each shared tensor under its first name only
    start = {name: tensor.detach() for name, tensor in [*net.named_parameters(), *net.named_buffers()]}

    def loss(flat):
        parts = flat.split([start[name].numel() for name in names])
        moved = {name: part.view(start[name].shape) for name, part in zip(names, parts, strict=True)}
        return functional.cross_entropy(functional_call(net, {**start, **moved}, (data[0],)), data[1])

    return loss, torch.cat([start[name].reshape(-1) for name in names])


def dense_gradient(model, data, weights):
    return torch.autograd.functional.jacobian(*mean_loss(model, data, names_of(model, weights)))


def dense_hessian(model, data, weights):
    """The Hessian of the mean loss in float64, (n, n)."""
    found = torch.autograd.functional.hessian(*mean_loss(model, data, names_of(model, weights)))
    torch.testing.assert_close(found, found.T, rtol=1e-8, atol=1e-10)
    return found


def spectrum(matrix):
    return np.linalg.eigvalsh(matrix.numpy())
