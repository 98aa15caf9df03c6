"""Paths of a few made weights, and the matrix that a path stands for."""

import torch

SHAPES = {"a.weight": (5, 3, 2), "a.bias": (5,), "n.running_mean": (5,), "b.weight": (4, 5)}


def random_states(n=6, *, seed=0, dtype=torch.float64, shapes=None):
    """Checkpoints that share nothing but an origin far from zero, and a counter."""
    draws = torch.Generator().manual_seed(seed)
    start = {name: 3 * torch.randn(shape, generator=draws).to(dtype) for name, shape in (shapes or SHAPES).items()}
    return [
        {
            **{name: t + torch.randn(t.shape, generator=draws).to(dtype) * (n - i) for name, t in start.items()},
            "n.num_batches_tracked": torch.tensor(i),
        }
        for i in range(n)
    ]


def rows(states, names):
    """theta_i - theta_n, whole, in float64."""
    flat = torch.stack([torch.cat([state[name].double().reshape(-1) for name in names]) for state in states])
    return (flat - flat[-1]).numpy()


def vector(direction, names):
    """A direction as one vector."""
    zeros = {name: torch.zeros(SHAPES[name]) for name in names}
    return torch.cat([direction.tensors.get(name, zeros[name]).double().reshape(-1) for name in names]).numpy()
