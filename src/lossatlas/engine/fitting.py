"""Networks must be able to compute on the examples they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def fitting(net: nn.Module, name: str, inputs: Any) -> Iterator[None]:
    """Say what a network was given where it fails on it.

    Args:
        net: the network.
        name: of the data set that the inputs are of.
        inputs: what is passed to the network inside.

    Raises:
        ValueError: the network cannot compute on the inputs; the text names their shapes.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    # what layers and networks raise for inputs of another size, number of dimensions or type
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the network ({type(net).__name__}) cannot compute on the inputs of data set {name!r}, {_shapes(inputs)} "
            f"in its first batch: {reason}; pass inputs of the size and type that the network was made for"
        ) from error


def _shapes(value: Any) -> str:
    """Return the shapes and types of all tensors in what a network takes."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shapes(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_shapes(item) for item in value)
    return type(value).__name__
