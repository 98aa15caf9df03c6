"""Rescalings of a network's weights that leave its function unchanged (Li et al. 2018, section 4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lossatlas.engine.evaluator import model_state
from lossatlas.engine.folding import find_pairs

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# f(c x) = c f(x) for c > 0, in eval mode
_RELUS = {nn.ReLU, nn.LeakyReLU, torch.relu, functional.relu, functional.leaky_relu, "relu", "relu_"}
_HOMOGENEOUS = _RELUS | {
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity, nn.Flatten),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d),
    *(torch.flatten, torch.mean, "flatten", "mean", "view", "reshape", "contiguous"),
}
_QUESTIONS = {"size", "dim", getattr}  # read a shape, not the values


@dataclass(frozen=True)
class LayerPair:
    """Two layers with nothing but ReLU and the like between them, by their qualified names.

    `first` is a convolution or linear layer, or a batch normalization, whose weight and bias then are the layer's.
    """

    first: str
    second: str
    normalized: bool  # `first` is a batch normalization


def consecutive_layers(model: nn.Module) -> list[LayerPair]:
    """Return the pairs of consecutive layers joined by a ReLU, those without normalization first.

    Between the two lie a ReLU and otherwise only what commutes with a positive factor (pooling, flattening, means,
    dropout in eval mode), and nothing else reads the first one's output. A model that `torch.fx` cannot trace has none.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # tracing runs the user's own forward, which may raise anything
        return []
    modules = dict(model.named_modules())
    own = _own_modules(model, graph)
    pairs = []
    for node in graph.nodes:
        first = str(node.target)
        if node.op == "call_module" and first in own and isinstance(modules[first], (*_LAYERS, *_NORMALIZATIONS)):
            second = _next_layer(node, modules)
            if second in own:
                pairs.append(LayerPair(first, second, isinstance(modules[first], _NORMALIZATIONS)))
    return sorted(pairs, key=lambda pair: pair.normalized)


def _own_modules(model: nn.Module, graph: fx.Graph) -> set[str]:
    """Return the plain layers and normalizations that are used once, without hooks, and share no tensor."""
    state = model.state_dict(keep_vars=True)
    owners = Counter(tensor.data_ptr() for tensor in state.values())
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    found = set()
    for name, module in model.named_modules(remove_duplicate=False):
        tensors = [tensor for key, tensor in state.items() if key.rpartition(".")[0] == name]
        alone = calls[name] == 1 and name not in read and all(owners[tensor.data_ptr()] == 1 for tensor in tensors)
        hooked = module._forward_hooks or module._forward_pre_hooks
        # exactly these classes: a subclass or a parametrization computes with other weights than those it stores
        if alone and not hooked and type(module) in (*_LAYERS, *_NORMALIZATIONS) and f"{name}.weight" in state:
            found.add(name)
    return found


def _next_layer(node: fx.Node, modules: Mapping[str, nn.Module]) -> str | None:
    """Return the layer that the node's output reaches through a ReLU alone, if there is one."""
    rectified = False
    while True:
        users = [user for user in node.users if user.target not in _QUESTIONS]
        if len(users) != 1 or not users[0].args or users[0].args[0] is not node:
            return None
        (node,) = users
        module = modules[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, _LAYERS):
            return str(node.target) if rectified else None
        kind: Any = type(module) if module is not None else node.target
        if node.op == "output" or kind not in _HOMOGENEOUS or (module is not None and module._forward_hooks):
            return None
        rectified |= kind in _RELUS


def rescale_layers(model: nn.Module, factor: float, *, pair: LayerPair | None = None) -> dict[str, Tensor]:
    """Return the weights with one layer times `factor` and the next one divided by it.

    ReLU passes a positive factor on, relu(c z) = c relu(z), so the function stays the same. The first layer is scaled
    with its bias. By default it is the first pair without a normalization between them; where every layer is followed
    by one, "the layer" is the batch normalization's own weight and bias, and the next layer is the one after the ReLU.

    Args:
        model: any network that `torch.fx` can trace; it is left untouched.
        factor: c, positive.
        pair: which two layers; the first of `consecutive_layers` if absent.

    Raises:
        ValueError: an impossible factor, or the network has no such pair.
    """
    _require_factor(factor)
    if pair is None:
        pairs = consecutive_layers(model)
        if not pairs:
            raise ValueError(
                f"{type(model).__name__} has no two layers with only a ReLU between them, or torch.fx cannot trace it; "
                "name two that have: pair=LayerPair(first, second, normalized=False)"
            )
        pair = pairs[0]
    state = _copied(model)
    for name in _parameters_of(state, pair.first):
        state[name] *= factor
    state[f"{pair.second}.weight"] /= factor
    return state


def rescale_filters(model: nn.Module, factor: float) -> dict[str, Tensor]:
    """Return the weights with every filter that a batch normalization follows times `factor`.

    Biases and running means are scaled too and running variances become c^2 (var + eps) - eps, so that the
    normalization takes the factor out again, exactly, in eval mode. A small factor can make a variance negative (above
    -eps), which eval mode allows.

    Args:
        model: any network that `torch.fx` can trace; it is left untouched.
        factor: c, positive.

    Raises:
        ValueError: an impossible factor, or no layer is followed by a batch normalization.
    """
    _require_factor(factor)
    pairs = find_pairs(model)
    if not pairs:
        raise ValueError(
            f"{type(model).__name__} has no layer that is followed by nothing but a batch normalization, or torch.fx "
            "cannot trace it; use a network with batch normalization, or rescale_layers"
        )
    state = _copied(model)
    for pair in pairs:
        for name in _parameters_of(state, pair.layer):
            state[name] *= factor
        state[f"{pair.norm}.running_mean"] *= factor
        variance = state[f"{pair.norm}.running_var"]
        variance.copy_((variance.double() + pair.eps) * factor**2 - pair.eps)
    return state


def _require_factor(factor: float) -> None:
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"factor = {factor} is impossible; ReLU passes on positive finite factors only")


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model_state(model).items()}


def _parameters_of(state: Mapping[str, Tensor], module: str) -> Iterator[str]:
    return (name for name in (f"{module}.weight", f"{module}.bias") if name in state)
