"""Convolutions fused with the addition and the ReLU that follow them, for evaluation on a CPU.

A feature map is then written by its convolution, and not again by each of the others. The operators are oneDNN's, which
PyTorch has as `torch.ops.mkldnn._convolution_pointwise` and `_convolution_pointwise_`. These are private interfaces,
looked up when a network is fused; without them, and for any network that is not known to be exact, nothing is fused.

oneDNN's own ReLU turns NaN into 0, and would hide that a network overflows. Every ReLU is therefore made a leaky one of
slope 2^-100, which keeps NaN and infinities and otherwise changes sums by far less than their rounding. The other
operations that are let through keep them too. So outputs that are finite prove that there were none inside, and outputs
that are not have to be computed again by the network as it was; and so do those that `decided` does not let pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lossatlas.engine.tracing import overwritable, traced, writes_to

SLOPE = 2.0**-100


class Fused:
    """A faster form of a network; it computes with the network's own weights, whatever they are at the time.

    Attributes:
        convolutions: how many convolutions are fused with an addition or a ReLU.
    """

    def __init__(self, module: fx.GraphModule, convolutions: int, inputs: Tensor) -> None:
        """Keep what `fuse` has built for batches like `inputs`."""
        self.convolutions = convolutions
        self._module, self._shape = module, inputs.shape[1:]

    def takes(self, inputs: Tensor) -> bool:
        """Tell whether `inputs` are such as the network was fused for, up to their number."""
        same = inputs.shape[1:] == self._shape and inputs.dtype is torch.float32
        return same and not torch.is_autocast_enabled(inputs.device.type)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs; they are the network's if they are `decided`, otherwise the network has to be asked."""
        outputs: Tensor = self._module.forward(inputs)
        return outputs


def decided(logits: Tensor) -> bool:
    """Tell whether fused logits are the network's up to rounding, and the largest of each row is the network's too."""
    # Where every ReLU of a layer is dead, the network's logits can tie exactly, for example at 0 without a bias, and
    # what leaks through ours would choose a class. A tie at another value is kept as rounding absorbs the leaks, but
    # a tie at 0 may be between some of the classes only, so the size of the largest logit says nothing: what counts
    # is how far the largest two are apart. Leaks are 2^-100 of the maps inside, thus far below 2^-64 unless these are
    # beyond 2^36 times the logits and 1; differences by rounding are at least 2^-24 of the logits compared.
    if not bool(logits.isfinite().all()):
        return False
    if logits.shape[1] < 2:
        return True
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return bool((first - second > 2.0**-64 * logits.abs().amax(1).clamp(min=1.0)).all())


def fuse(net: nn.Module, inputs: Tensor) -> Fused | None:
    """Return a faster form of a network in eval mode, None if there is none; the network is not changed.

    Args:
        net: the network.
        inputs: one batch; others may have more or fewer examples.
    """
    tensors = [inputs, *net.parameters(), *net.buffers()]
    if any(t.device.type != "cpu" or (t.is_floating_point() and t.dtype is not torch.float32) for t in tensors):
        return None
    # hooks, and a `forward` that was set on an instance, would not be called
    if any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in net.modules()):
        return None
    try:
        graph = traced(net, inputs)
        fused = graph and _Rewriting(graph, dict(net.named_modules())).result(inputs)
        if fused:
            with torch.inference_mode():
                fused(inputs[:1])  # raises what an operator raises that has changed
    except Exception:  # tracing runs the user's own forward, and what is private may be gone
        return None
    return fused or None


class _Rewriting:
    """Rewrites a graph of known operations."""

    def __init__(self, graph: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
        self._graph, self._modules = graph, modules
        self._parts: dict[str, Any] = {}  # what the graph refers to; names without dots are found faster

    def result(self, inputs: Tensor) -> Fused | None:
        of_kind = {kind: [node for node in self._graph.nodes if node.meta["kind"] == kind] for kind in ("add", "relu")}
        count = sum([self._fuse_addition(node) for node in of_kind["add"]])
        count += sum([self._fuse_relu(node) for node in of_kind["relu"]])
        for node in self._graph.nodes:
            if node.op == "call_module":
                node.target = self._refer(self._modules[str(node.target)])
        return Fused(fx.GraphModule(self._parts, self._graph), count, inputs) if count else None

    def _layer(self, node: fx.Node) -> nn.Conv2d | None:
        """Return the layer of a node that is a convolution of images with plain settings."""
        layer = self._modules[str(node.target)] if node.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d) or len(node.meta["shape"]) != 4 or isinstance(layer.padding, str):
            return None
        plain = layer.padding_mode == "zeros" and layer.groups == 1 and layer.dilation == (1, 1)
        return layer if plain else None

    def _fuse_addition(self, node: fx.Node) -> bool:
        """Let a convolution add its result to the other term, where nobody needs that afterwards."""
        terms = [term for term in node.args if isinstance(term, fx.Node)]
        for term, other in sorted(zip(terms, reversed(terms), strict=True), reverse=True):
            layer = self._layer(term)
            if not layer or len(terms) != 2 or term is other or list(term.users) != [node]:
                continue
            # the convolution moves to the addition, must find its input there and cannot write to it while it reads
            before = term.all_input_nodes[0]
            kept = before is not other and not any(self._overwrites(user, before) for user in before.users)
            if kept and term.meta["shape"] == other.meta["shape"] and overwritable(other, node):
                operation = torch.ops.mkldnn._convolution_pointwise_.binary
                arguments = (other, before, *self._settings(layer, node), "add", 1.0, None, [], "")
                self._replace(node, node, operation, arguments).meta["overwritten"] = other
                self._graph.erase_node(term)
                return True
        return False

    def _overwrites(self, user: fx.Node, node: fx.Node) -> bool:
        """Tell whether an addition overwrites a node; a ReLU is made not to where the node is needed later."""
        written = user.meta.get("kind") == "add" and writes_to(user, self._modules)
        return node in (written, user.meta.get("overwritten"))

    def _fuse_relu(self, node: fx.Node) -> bool:
        before = node.all_input_nodes[0]
        layer = self._layer(before)
        if layer and list(before.users) == [node]:
            operation = torch.ops.mkldnn._convolution_pointwise.default
            arguments = (before.all_input_nodes[0], *self._settings(layer, before), "leaky_relu", [SLOPE], "")
            self._replace(node, before, operation, arguments)
            self._graph.erase_node(before)
            return True
        leaky = functional.leaky_relu_ if overwritable(before, node) else functional.leaky_relu
        self._replace(node, node, leaky, (before, SLOPE))
        return False

    def _settings(self, layer: nn.Conv2d, place: fx.Node) -> tuple[Any, ...]:
        """Return the operators' arguments for a layer's weight, bias and geometry."""
        with self._graph.inserting_before(place):
            weight = self._graph.create_node("get_attr", self._refer(layer.weight))
            bias = None if layer.bias is None else self._graph.create_node("get_attr", self._refer(layer.bias))
        return weight, bias, layer.padding, layer.stride, layer.dilation, layer.groups

    def _refer(self, part: Tensor | nn.Module) -> str:
        name = f"part{len(self._parts)}"
        self._parts[name] = part
        return name

    def _replace(self, node: fx.Node, place: fx.Node, operation: Any, arguments: tuple[Any, ...]) -> fx.Node:
        with self._graph.inserting_before(place):
            new = self._graph.call_function(operation, arguments)
        new.meta.update(node.meta)
        node.replace_all_uses_with(new)
        self._graph.erase_node(node)
        return new
