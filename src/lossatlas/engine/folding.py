"""Folding of batch normalization into the layer before it, for evaluation.

In eval mode `bn(conv(x))` is a convolution with the weights `w * s` and the bias `(b - mean) * s + beta`, where
`s = gamma / sqrt(var + eps)`. The network then reads its feature maps once instead of twice.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lossatlas.randomness import generator

# exactly these classes: a subclass or a parametrization computes with other weights than those it stores
_LAYERS = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d, nn.Linear: nn.BatchNorm1d}


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
    modules = _plain_modules(model)
    # weights that the network also reads outside of their module, for example `conv2d(x, self.conv.weight)`
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    pairs = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer, norm = modules.get(str(before.target)), modules.get(str(node.target))
        if layer is None or norm is None or type(norm) is not _LAYERS.get(type(layer)):
            continue
        once = calls.count(before.target) == 1 and calls.count(node.target) == 1
        alone = once and not read & {before.target, node.target}
        if alone and norm.affine and norm.track_running_stats and norm.num_features == len(layer.weight):
            pairs.append(Pair(str(before.target), str(node.target), norm.eps))
    return pairs


def _plain_modules(model: nn.Module) -> dict[str, Any]:
    """Return the modules that own their tensors alone, store their weight as it is, and have no hooks."""
    state = model.state_dict(keep_vars=True)
    owners = Counter(tensor.data_ptr() for tensor in state.values())
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        own = [tensor for key, tensor in state.items() if key.rpartition(".")[0] == name]
        hooked = module._forward_hooks or module._forward_pre_hooks
        if f"{name}.weight" in state and not hooked and all(owners[tensor.data_ptr()] == 1 for tensor in own):
            found[name] = module
    return found


def scattered(model: nn.Module) -> nn.Module:
    """Return a copy with weights and statistics moved at random, where a wrong folding cannot pass by chance.

    At an initialization batch normalization is the identity but for `eps`, and nearly every folding looks right.
    """
    twin, draws = copy.deepcopy(model), generator(0, "folding")
    for tensor in itertools.chain(twin.parameters(), twin.buffers()):
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=draws).to(tensor)
            # factors between 1/2 and 3/2; variances stay positive, and what is zero moves too: means, biases, and the
            # weights of branches that start as nothing
            alpha = 0.1 if tensor.dim() == 1 or not tensor.any() else 0.0
            tensor.data.mul_(noise + 0.5).add_(noise, alpha=alpha)
    return twin


def folded_copy(model: nn.Module, pairs: list[Pair]) -> nn.Module:
    """Return a copy of `model` in which each pair's layer has a bias and its normalization is the identity."""
    twin = copy.deepcopy(model)
    for pair in pairs:
        layer = twin.get_submodule(pair.layer)
        if layer.bias is None:
            weight = layer.weight
            channels = weight.shape[0]
            layer.bias = nn.Parameter(torch.zeros(channels, dtype=weight.dtype, device=weight.device))
        parent, _, name = pair.norm.rpartition(".")
        setattr(twin.get_submodule(parent), name, nn.Identity())
    return twin


def fold_state(state: Mapping[str, Tensor], pairs: list[Pair]) -> dict[str, Tensor]:
    """Return the state of the folded copy at the point `state` of the original model; it can be differentiated.

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
