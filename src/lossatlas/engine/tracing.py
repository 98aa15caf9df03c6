"""A network as a graph of operations that are all known, for rewriting it.

What is known of an operation: it writes to no memory that is needed afterwards, and returns something not finite
wherever it uses such a value; a ReLU counts as leaky for that, and must be made so.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

# What an operation returns: "new" memory, perhaps a "view" of its input, its input as it is ("same"), or "no" tensor;
# "relu", "add" and "max" are new too. Strings are methods. Subclasses of modules are other operations, unknown ones.
_KINDS: dict[Any, str] = {
    **dict.fromkeys([nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d], "new"),
    **dict.fromkeys([functional.avg_pool2d, functional.adaptive_avg_pool2d, torch.cat, torch.mean, "mean"], "new"),
    **dict.fromkeys([nn.Flatten, torch.flatten, "flatten", "view", "reshape", functional.dropout], "view"),
    **dict.fromkeys([nn.ReLU, torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_"], "relu"),
    **dict.fromkeys([operator.add, operator.iadd, torch.add, "add", "add_"], "add"),
    **dict.fromkeys([nn.MaxPool2d, functional.max_pool2d], "max"),
    **dict.fromkeys([nn.Identity, nn.Dropout, nn.Dropout2d], "same"),
    **dict.fromkeys([operator.getitem], "view"),
    "size": "no",
}
_NEW = ("new", "relu", "add", "max")


def traced(net: nn.Module, inputs: Tensor) -> fx.Graph | None:
    """Return the operations of a network in eval mode, None if one is not known.

    Each node's `meta` has its `kind` ("new", "view", "no", "relu", "add" or "max") and, as `shape`, that of its result
    for two of the `inputs`. Identities and dropout are left out.

    Raises:
        Exception: whatever the network raises because it cannot be traced.
    """
    graph, modules = _Tracer().trace(net), dict(net.named_modules())
    for node in list(graph.nodes):
        node.meta["kind"] = _kind(node, modules)
        if node.meta["kind"] == "same":
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
    if not all(_known(node, modules) for node in graph.nodes):
        return None
    with torch.inference_mode():
        # two examples, because one would hide what is broadcast over the batch
        _Shapes(fx.GraphModule(net, graph)).run(inputs[:1].repeat(2, *[1] * (inputs.dim() - 1)))
    return graph


def overwritable(node: fx.Node, by: fx.Node) -> bool:
    """Tell whether `by` is the last that needs what `node` returns."""
    others = [user for user in node.users if user is not by]
    return node.meta["kind"] in _NEW and all(user < by and user.meta["kind"] != "view" for user in others)


def writes_to(node: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node | None:
    """Return what a known operation overwrites with its result, None if nothing."""
    return node.all_input_nodes[0] if _writes(node, modules) else None


def _kind(node: fx.Node, modules: Mapping[str, nn.Module]) -> str | None:
    if node.op in ("placeholder", "output") or (node.target is getattr and node.args[1] == "shape"):
        return "no"
    if node.op == "call_module":
        return _KINDS.get(type(modules[str(node.target)]))
    return _KINDS.get(node.target) if node.op in ("call_function", "call_method") else None


def _known(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    kind, before = node.meta["kind"], node.all_input_nodes
    if kind == "max":  # loses -inf, which must then come from a leaky ReLU: the ReLU itself has 0 there
        return before[0].meta["kind"] in ("relu", "max")
    if "out" in node.kwargs or (kind == "add" and (node.kwargs or len(node.args) != 2)):  # where to write to, a factor
        return False
    if kind is None:
        return False
    target = writes_to(node, modules)
    return target is None or overwritable(target, node)


def _writes(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    # PyTorch's functions give `inplace` its name when they are traced
    return name.endswith("_") or node.target is operator.iadd or bool(node.kwargs.get("inplace"))


class _Proxy(fx.Proxy):
    def __iadd__(self, other: Any) -> fx.Proxy:  # fx takes `a += b` for `a = a + b`, which leaves the old `a` alone
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


class _Shapes(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        n.meta["shape"] = found.shape if isinstance(found, Tensor) else None
        return found
