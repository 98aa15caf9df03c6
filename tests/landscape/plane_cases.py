"""Three points of a small network, and their weights as vectors."""

import numpy as np
import torch

from landscape.cases import small_model


def parameters(model):
    return [name for name, _ in model.named_parameters()]


def flat(tensors, names):
    """Tensors by name as one vector."""
    return np.concatenate([tensors[name].detach().double().reshape(-1).numpy() for name in names])


def near(model, *, seed, by=0.1):
    """The network's state after a random step of its parameters and of its running statistics."""
    draws = torch.Generator().manual_seed(seed)

    def step(name, tensor):
        if not tensor.is_floating_point():
            return tensor.clone()
        noise = by * torch.randn(tensor.shape, generator=draws, dtype=torch.float64).to(tensor.dtype)
        return tensor * torch.exp(noise) if name.endswith("running_var") else tensor + noise

    return {name: step(name, tensor.detach()) for name, tensor in model.state_dict().items()}


def case(**options):
    model = small_model(**options)
    return model, [near(model, seed=seed) for seed in (3, 4, 5)]
