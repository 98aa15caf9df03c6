"""In which precision a network's forward pass is computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from lossatlas.engine.precision import products

Precision = Literal["float32", "tf32", "bf16"]


def forward_precision(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 where it is safe (`bf16`), float32 otherwise."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def tensor_cores(device: torch.device | str, *, tf32: bool) -> AbstractContextManager[object]:
    """Let matrix products and convolutions on a GPU round to TensorFloat-32, or not; restores what was set before.

    PyTorch's own default is that convolutions round and matrix products do not: `float32` training switches that off.
    """
    return products(torch.device(device), tf32=tf32)
