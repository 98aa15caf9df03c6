"""Folding of batch normalization into the layer before it, for evaluation.

In eval mode `bn(conv(x))` is a convolution with the weights `w * s` and the bias `(b - mean) * s + beta`, where
`s = gamma / sqrt(var + eps)`. The network then reads its feature maps once instead of twice.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Pair:
    """A layer followed by nothing but a batch normalization, by their qualified names."""

    layer: str
    norm: str
    eps: float


def find_pairs(model: nn.Module) -> list[Pair]:
    """Return every layer whose output goes to one batch normalization only, each used once.

    A model that `torch.fx` cannot trace has none: it is then evaluated as it is.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception:  # tracing runs the user's own forward, which may raise anything
        return []
    modules = dict(model.named_modules(remove_duplicate=False))
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    pairs = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer, norm = modules[str(before.target)], modules[str(node.target)]
        if not isinstance(layer, _LAYERS) or not isinstance(norm, _NORMS):
            continue
        once = calls.count(before.target) == 1 and calls.count(node.target) == 1
        if once and norm.affine and norm.track_running_stats:
            pairs.append(Pair(str(before.target), str(node.target), norm.eps))
    return pairs


def folded_copy(model: nn.Module, pairs: list[Pair]) -> nn.Module:
    """Return a copy of `model` in which each pair's layer has a bias and its normalization is the identity."""
    twin = copy.deepcopy(model)
    for pair in pairs:
        layer = twin.get_submodule(pair.layer)
        if layer.bias is None:
            weight = layer.weight
            channels = weight.shape[0]  # type: ignore[union-attr, index]
            layer.bias = nn.Parameter(torch.zeros(channels, dtype=weight.dtype, device=weight.device))  # type: ignore[union-attr, arg-type]
        parent, _, name = pair.norm.rpartition(".")
        setattr(twin.get_submodule(parent), name, nn.Identity())
    return twin


@torch.no_grad()
def fold_state(state: Mapping[str, Tensor], pairs: list[Pair]) -> dict[str, Tensor]:
    """Return the state of the folded copy at the point `state` of the original model.

    A negative running variance (as extrapolated states can have) gives NaN, as the unfolded network does.
    """
    folded = dict(state)
    for pair in pairs:
        scale = folded.pop(f"{pair.norm}.weight") / torch.sqrt(folded.pop(f"{pair.norm}.running_var") + pair.eps)
        shift = folded.pop(f"{pair.norm}.bias")
        mean = folded.pop(f"{pair.norm}.running_mean")
        folded.pop(f"{pair.norm}.num_batches_tracked", None)
        weight = folded[f"{pair.layer}.weight"]
        bias = folded.get(f"{pair.layer}.bias")
        folded[f"{pair.layer}.weight"] = weight * scale.view(-1, *[1] * (weight.dim() - 1))
        folded[f"{pair.layer}.bias"] = shift + ((-mean if bias is None else bias - mean) * scale)
    return folded
