"""Training of a curve: the bends that make the expected loss along it small (Garipov et al. 2018, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.engine.foreach import foreach
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape.curves import Curve, coefficients, whole_state
from lossatlas.models.weights import weights_hash
from lossatlas.randomness import generator
from lossatlas.results import History


class CurveLearner:
    """Trains the free nodes of a curve through the weights of any network; a `Learner` of `lossatlas.training`.

    It minimizes the loss at phi(t) with t uniform on [0, 1] (equation 2), one t per batch. A batch sees the network at
    the blended weights in training mode; dL/dphi reaches node i times its weight c_i(t). The L2 penalty acts on the
    weights phi(t) that the network has, so node i gets c_i(t) (dL/dphi + weight_decay phi(t)), and the optimizer itself
    must not decay. Buffers are those of `model` at the start of every batch, and what a batch does to them is thrown
    away.

    Args:
        model: the network with the buffers of the curve's start; it is copied.
        curve: where the training begins; its tensors are copied too.
        weight_decay: L2 coefficient of the penalty weight_decay/2 |phi(t)|^2.
        refresh_batch_size: of the statistics at t = 1/2, where the training is followed.
        refresh_examples: so many of the clean training examples refresh them; None: all.
        compile: run the network through `torch.compile`.

    Attributes:
        network: the network that is called with other weights.
        learned: the free nodes, and nothing else: one list of parameters each.

    Raises:
        ValueError: the curve has no free node, or is through weights of another network.
    """

    def __init__(
        self,
        model: nn.Module,
        curve: Curve,
        *,
        weight_decay: float,
        refresh_batch_size: int,
        refresh_examples: int | None = None,
        compile: bool = False,
    ) -> None:
        """See the class."""
        if not curve.free:
            raise ValueError("the curve has no free node to train; give it bends, or free ends")
        curve.require(model)
        self.network = copy.deepcopy(model)
        self._kind, self._bends, self._places = curve.kind, curve.bends, curve.free
        self._decay, self._examples, self._batch_size = weight_decay, refresh_examples, refresh_batch_size
        self._settings = {
            "curve": curve.kind,
            "bends": curve.bends,
            "free_ends": curve.free_ends,
            "penalty": weight_decay,
            "nodes": [weights_hash(node) for node in curve.nodes],
            "buffers": weights_hash(dict(model.named_buffers())),
            "refresh": [refresh_examples, refresh_batch_size],
        }
        trained = {name: parameter.requires_grad for name, parameter in self.network.named_parameters()}
        self._names, self._trained = list(trained), [i for i, moves in enumerate(trained.values()) if moves]
        copies = [[node[name].detach().clone() for name in self._names] for node in curve.nodes]
        self.learned = nn.ModuleDict(
            {
                f"node_{i}": nn.ParameterList(
                    nn.Parameter(t, trained[n]) for n, t in zip(trained, copies[i], strict=True)
                )
                for i in curve.free
            }
        )
        self._fixed = {i: tensors for i, tensors in enumerate(copies) if i not in curve.free}
        self._forward: Callable[[list[Tensor], list[Tensor], Tensor], Tensor]
        self._forward = torch.compile(self._call) if compile else self._call
        self.to(copies[0][0].device)

    def settings(self) -> dict[str, Any]:
        """Return what tells this curve's training from another's, as plain values."""
        return self._settings

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        for module in (self.network, self.learned):
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._fixed = {i: [_placed(t, device) for t in tensors] for i, tensors in self._fixed.items()}
        self._nodes = [self._fixed[i] if i in self._fixed else self._free(i) for i in range(self._bends + 2)]
        self._leaves = [torch.empty_like(t, requires_grad=False) for t in self._nodes[0]]
        for i in self._trained:
            self._leaves[i].requires_grad_()
        self._buffers = [buffer.detach() for _, buffer in self.network.named_buffers()]
        self._scratch = [buffer.clone() for buffer in self._buffers]
        self._statistics: Statistics | None = None

    def _free(self, i: int) -> list[Tensor]:
        return list(self.learned[f"node_{i}"].parameters())

    @property
    def curve(self) -> Curve:
        """The curve as it is now; its tensors are those that the training moves."""
        nodes = [dict(zip(self._names, (t.detach() for t in node), strict=True)) for node in self._nodes]
        return Curve(self._kind, tuple(nodes), not self._fixed)

    def begin_epoch(self, seed: int, number: int) -> None:
        """Switch to training mode; the epoch's t are those of seed and number."""
        self.network.train()
        self._draws = generator(seed, "curve", number)

    def begin_batch(self) -> None:
        """Go to a random place on the curve; it is drawn on the CPU, for which no accelerator has to wait."""
        self.move_to(float(torch.rand((), dtype=torch.float64, generator=self._draws)))

    @torch.no_grad()
    def move_to(self, t: float) -> None:
        """Go to phi(t), with no gradient yet and fresh buffers."""
        self._weights = [float(c) for c in coefficients(self._kind, t, self._bends)]
        foreach("zero_")(self._leaves)
        for weight, node in zip(self._weights, self._nodes, strict=True):
            if weight:
                foreach("add_")(self._leaves, node, alpha=weight)
        for leaf in self._leaves:
            leaf.grad = None
        if self._buffers:
            foreach("copy_")(self._scratch, self._buffers)

    def _call(self, weights: list[Tensor], buffers: list[Tensor], inputs: Tensor) -> Tensor:
        names = [name for name, _ in self.network.named_buffers()]
        tensors = dict(zip([*self._names, *names], [*weights, *buffers], strict=True))
        outputs: Tensor = torch.func.functional_call(self.network, tensors, (inputs,))
        return outputs

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the network's outputs at phi(t)."""
        return self._forward(self._leaves, self._scratch, inputs)

    @torch.no_grad()
    def end_batch(self) -> None:
        """Give every free node its share of the gradient, and of the penalty's."""
        moved = [self._leaves[i] for i in self._trained]
        found = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in moved]
        gradients = foreach("add")(found, moved, alpha=self._decay) if self._decay else found
        for place in self._places:
            # a node without weight at this t has a gradient too, of zeros: its momentum goes on
            shares = foreach("mul")(gradients, self._weights[place])
            for i, share in zip(self._trained, shares, strict=True):
                self._nodes[place][i].grad = share

    def point(self, inputs: Tensor) -> Mapping[str, Tensor]:
        """Return the network's state in the middle of the curve, with statistics of batch normalization of its own."""
        if self._statistics is None:
            clean, device = inputs[: self._examples], self._leaves[0].device
            self._statistics = Statistics(self.network, clean, batch_size=self._batch_size, device=device)
        return self._statistics(whole_state(self.network, self.curve.at(0.5)))


def training_problem(curve: Curve, history: History | None) -> str:
    """Return why a training gave no curve, "" if it did.

    Args:
        curve: as the training left it.
        history: of the training; None if there was none.
    """
    if history and history.status != "finished":
        return f"the curve's training diverged ({history.note})"
    # the training is followed at t = 1/2, where some nodes have no weight
    bad = [i for i in curve.free if not all(bool(t.isfinite().all()) for t in curve.nodes[i].values())]
    return f"the curve's training diverged (the weights of node {bad[0]} are not finite)" if bad else ""


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.to(device)
