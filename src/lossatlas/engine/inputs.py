"""Examples as a network takes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Array, Data, Examples, as_tensor


def network_inputs(model: nn.Module, values: Array) -> Tensor:
    """Return tensors as they are, arrays and lists as new tensors in the precision of the network's weights."""
    inputs = as_tensor(values)
    if inputs is values or not inputs.is_floating_point():
        return inputs
    return inputs.to(next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype()))


def network_examples(model: nn.Module, data: Data, *, called: str) -> Examples:
    """Return examples to train a network on: floating-point inputs (n, ...) and int64 labels (n,).

    Args:
        model: the network.
        data: normalized inputs and integer labels, as tensors, arrays or lists.
        called: what errors call them.

    Raises:
        ValueError: inputs or labels of another type or shape, or other numbers of both.
    """
    inputs, labels = network_inputs(model, data[0]), as_tensor(data[1])
    if not inputs.is_floating_point():
        raise ValueError(f"{called} has inputs of type {inputs.dtype}; normalized floating-point inputs are needed")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or labels.dim() != 1:
        raise ValueError(
            f"{called} has labels of type {labels.dtype} and shape {tuple(labels.shape)}; integers (n,) are needed"
        )
    if not len(inputs) or len(inputs) != len(labels):
        raise ValueError(f"{called} has {len(inputs)} inputs and {len(labels)} labels; both must be equal and >= 1")
    return inputs, labels.to(torch.int64)
