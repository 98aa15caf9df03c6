"""Convolutions and rectifiers whose second derivatives cost what they must, and no more.

PyTorch forms the weight part of a convolution's second derivative by convolving transposed maps, which is slow on a
CPU; here each part is one of the three kernels that training uses. A rectifier's second derivative is a map of zeros
there; here it is left out.

Both take operators of PyTorch (`torch.ops.aten`) that it does not promise to keep. Where one is missing, derivatives
are PyTorch's own: the same values, later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lossatlas.engine.precision import products

Geometry = tuple[list[int], list[int], list[int], int]  # stride, padding, dilation, groups


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    stride, padding, dilation, groups = geometry
    found: Tensor = torch.ops.aten.convolution(x, weight, bias, stride, padding, dilation, False, [0, 0], groups)
    return found


def _backward(
    out: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients with respect to `x` and `weight` for the gradient `out` of the result."""
    stride, padding, dilation, groups = geometry
    mask = [*needed[:2], False]
    options = (None, stride, padding, dilation, False, [0, 0], groups, mask)
    to_x, to_weight, _ = torch.ops.aten.convolution_backward(out, x, weight, *options)
    return to_x, to_weight


class _Convolution(Function):
    """A convolution; its backward pass is `_Gradients`, so that it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _forward(x, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        to_x, to_weight = _Gradients.apply(out, x, weight, ctx.geometry, ctx.needs_input_grad[:2])
        return to_x, to_weight, out.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None


class _Gradients(Function):
    """The gradients of a convolution with respect to its inputs and weights: bilinear in `out` and each of them."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needed: Sequence[bool]) -> Any:
        ctx.save_for_backward(out, x, weight)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return _backward(out, x, weight, geometry, needed)

    @staticmethod
    def backward(ctx: Any, along_x: Tensor | None, along_weight: Tensor | None) -> Any:
        out, x, weight = ctx.saved_tensors
        to_out = to_x = to_weight = None
        if along_x is not None:
            to_out = _forward(along_x, weight, None, ctx.geometry)
            if ctx.needs_input_grad[2]:
                _, to_weight = _backward(out, along_x, weight, ctx.geometry, (False, True))
        if along_weight is not None:
            moved = _forward(x, along_weight, None, ctx.geometry)
            to_out = moved if to_out is None else to_out.add_(moved)
            if ctx.needs_input_grad[1]:
                to_x, _ = _backward(out, x, along_weight, ctx.geometry, (True, False))
        return to_out, to_x, to_weight, None, None


class _Rectifier(Function):
    """A rectifier whose slope is a constant (almost everywhere, as PyTorch takes it)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = torch.relu(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(out, result.detach(), 0)


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Compute `conv2d`, whose arguments these are; what `_Convolution` does not cover goes to PyTorch's."""
    if input.dim() != 4 or isinstance(padding, str):
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    found: Tensor = _Convolution.apply(input, weight, bias, (_pair(stride), _pair(padding), _pair(dilation), groups))
    return found


def _rectified(input: Tensor, inplace: bool = False) -> Tensor:
    if inplace:
        return functional.relu(input, inplace=True)
    found: Tensor = _Rectifier.apply(input)
    return found


_OPERATORS = ("convolution", "convolution_backward", "threshold_backward")
_OURS: dict[Any, Any] = {functional.conv2d: _convolution, functional.relu: _rectified, torch.relu: _rectified}


class _Replaced(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _OURS.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def second_order(device: torch.device) -> Iterator[None]:
    """Compute with the operations of this module if it can, in full precision; on a GPU deterministically."""
    cudnn: Any = torch.backends.cudnn  # its own context would set precisions too, in the older of two ways
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
    try:
        ours = all(hasattr(torch.ops.aten, name) for name in _OPERATORS)
        with products(device, tf32=False), _Replaced() if ours else nullcontext():
            yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before
