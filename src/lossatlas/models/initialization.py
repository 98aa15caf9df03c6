"""Initial weights of the papers, drawn from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Scheme = Literal["li", "garipov", "torch", "glorot"]
Draw = Callable[[Tensor, torch.Generator], object]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def _kaiming(mode: Literal["fan_in", "fan_out"]) -> Draw:
    return lambda tensor, generator: nn.init.kaiming_normal_(
        tensor, mode=mode, nonlinearity="relu", generator=generator
    )


def _torch_default(tensor: Tensor, generator: torch.Generator) -> object:
    return nn.init.kaiming_uniform_(tensor, a=math.sqrt(5), generator=generator)


def _glorot(tensor: Tensor, generator: torch.Generator) -> object:
    return nn.init.xavier_normal_(tensor, generator=generator)


def _small_normal(tensor: Tensor, generator: torch.Generator) -> object:
    return tensor.normal_(0.0, 1e-3, generator=generator)


# Scheme -> how convolution weights and how linear weights are drawn; biases follow their weights: zero, or PyTorch's.
_RULES: dict[str, tuple[Draw, Draw]] = {
    "li": (_kaiming("fan_in"), _small_normal),
    "garipov": (_kaiming("fan_out"), _torch_default),
    "torch": (_torch_default, _torch_default),
    "glorot": (_glorot, _glorot),
}


def initialize(model: nn.Module, *, scheme: Scheme, generator: torch.Generator) -> None:
    """Set every parameter of `model` in place from `generator` and reset the running statistics of batch norm.

    Weights are drawn module by module on the generator's device in a fixed layout: one seed gives the same bytes for
    every device and memory format of the model. No global random state is read or changed.

    Args:
        model: Convolutions, linear layers and normalizations; other modules may hold no parameters of their own.
        scheme: "li": normal with variance 2 / fan_in for convolutions, normal with standard deviation 1e-3 for linear
            weights, zero biases (Li et al. 2018). "garipov": normal with variance 2 / (k * k * channels out) and zero
            biases for convolutions, PyTorch's default for linear layers (the VGG and PreResNet of Garipov et al. 2018;
            their Wide ResNet has "torch"). "torch": PyTorch's defaults. "glorot": normal with variance
            2 / (fan_in + fan_out), zero biases (Glorot and Bengio 2010). Normalizations get weight 1 and bias 0.
        generator: The only source of randomness.

    Raises:
        ValueError: An unknown scheme, or a module with parameters that no scheme covers.
    """
    if scheme not in _RULES:
        raise ValueError(f"scheme = {scheme!r} is unknown; allowed: {', '.join(get_args(Scheme))}")
    convolution, linear = _RULES[scheme]
    for name, module in model.named_modules():
        if isinstance(module, CONVOLUTIONS):
            _set(module.weight, convolution, generator)
            _set_bias(module, zero=convolution is not _torch_default, generator=generator)
        elif isinstance(module, nn.Linear):
            _set(module.weight, linear, generator)
            _set_bias(module, zero=linear is not _torch_default, generator=generator)
        elif isinstance(module, NORMALIZATIONS):
            _set_norm(module)
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(
                f"module {name!r} of type {type(module).__name__} has parameters that no scheme covers; "
                "allowed: convolutions, linear layers, batch, group and layer norm; set the weights of others yourself"
            )


def _set(parameter: Tensor, draw: Draw, generator: torch.Generator) -> None:
    fresh = torch.empty(parameter.shape, dtype=parameter.dtype, device=generator.device)
    draw(fresh, generator)
    with torch.no_grad():
        parameter.copy_(fresh)


def _set_bias(module: nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear, *, zero: bool, generator: torch.Generator) -> None:
    if module.bias is None:
        return
    if zero:
        nn.init.zeros_(module.bias)
        return
    bound = 1 / math.sqrt(module.weight[0].numel())
    _set(module.bias, lambda tensor, source: tensor.uniform_(-bound, bound, generator=source), generator)


def _set_norm(module: nn.Module) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        nn.init.constant_(parameter, 1.0 if name == "weight" else 0.0)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        module.reset_running_stats()
