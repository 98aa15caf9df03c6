"""The named tensors of a network as plain values, and the hash that identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_of(model_or_state: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers: on the CPU, contiguous, sharing no memory."""
    state = model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"state[{name!r}] is of type {type(value).__name__}; allowed: tensors only")
    return {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in state.items()
    }


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Return the hexadecimal SHA-256 of the names, dtypes, shapes and bytes of all floating tensors in `state`.

    Names are sorted; counters such as `num_batches_tracked` do not count. Device and memory format do not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        if not tensor.is_floating_point() or name.split(".")[-1] == "num_batches_tracked":
            continue
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}\n".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
