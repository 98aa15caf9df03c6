"""What makes the host wait for a GPU, counted on a CPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default)


class Waiting(TorchDispatchMode):
    """Counts operations that would wait: reading a number from a tensor, and making a tensor of numbers."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in _WAITS
        return func(*args, **(kwargs or {}))
