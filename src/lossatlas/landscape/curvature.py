"""Products of the loss's Hessian with vectors, without the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from lossatlas.engine.evaluator import Data, Evaluator
from lossatlas.engine.folding import fold_state
from lossatlas.landscape.second_order import second_order

Weights = Literal["matrices", "all"]


def _joined(tensors: Iterable[Tensor], device: torch.device | str = "cpu") -> Tensor:
    """Return tensors as one float64 vector on a device, each in row-major order."""
    return torch.cat([tensor.detach().to(device, torch.float64).reshape(-1) for tensor in tensors])


def hessian_shapes(model: nn.Module, weights: Weights) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters that a Hessian is over, by name; see `HessianOperator`.

    Raises:
        ValueError: an unknown kind of weights, or there are none of it.
    """
    if weights not in ("matrices", "all"):
        raise ValueError(f"weights is {weights!r}; it must be 'matrices' or 'all'")
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters() if weights == "all" or p.dim() > 1}
    if not shapes:
        raise ValueError(f"the model has no parameters of the kind weights = {weights!r}; pass weights='all'")
    return shapes


class HessianOperator(Evaluator):
    """The gradient and the Hessian of the mean cross-entropy at a movable point, in eval mode.

    What an `Evaluator` promises holds here too: the caller's model is never written to, batch normalization is folded
    where that is exact (the derivatives are still those of the original weights), and `measure("train")` is the loss
    at the point. Products are exact derivatives (Pearlmutter 1994), not differences. Batches are weighted by their
    size and summed in float64. On a CPU the same vector gives the same bytes.

    A vector is flat, of shape (size,): the parameters in the model's order, each in row-major order. Vectors are
    accepted in any floating-point type on any device; products are returned in float64 on the device of their vector,
    gradients on the CPU. A GPU is waited for once a product if the vector lies on the CPU, else not at all.

    Args:
        model: a classifier that returns logits, shape (batch, classes).
        examples: normalized inputs (n, ...) and integer labels (n,).
        batch_size: examples per pass; results depend on it only by rounding. One batch for all examples is fastest:
            the first derivatives are then kept for all products at a point.
        device: where to compute.
        weights: `matrices` takes the parameters with more than one dimension (Li et al. 2018 leave biases and batch
            normalization out), `all` every parameter; the others are constants.

    Raises:
        ValueError: there are no such parameters, or what `Evaluator` refuses.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Data,
        *,
        batch_size: int = 128,
        device: torch.device | str = "cpu",
        weights: Weights = "matrices",
    ) -> None:
        """See the class."""
        parameters = dict(model.named_parameters())
        self.shapes = hessian_shapes(model, weights)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        # the second names of shared parameters follow the first
        self._aliases = {name for name, _ in model.named_parameters(remove_duplicate=False)} - parameters.keys()
        self._leaves: dict[str, Tensor] = {}
        self._constants: dict[str, Tensor] = {}
        self._kept: Sequence[Tensor] = ()
        super().__init__(model, {"train": examples}, batch_size=batch_size, device=device, fuse=False)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Move to the point `state`: every parameter and buffer of the model by name; see `Evaluator.load`."""
        super().load(state)
        names = [name for name in self._shapes if name not in self._aliases]
        placed = {name: self._laid_out(state[name].detach().to(self.device, copy=True)) for name in names}
        self._leaves = {name: placed.pop(name).requires_grad_() for name in self.shapes}
        self._constants, self._kept = placed, ()

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, in which products are computed."""
        return next(iter(self._leaves.values())).dtype

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return tensors by parameter name as a vector (size,): names that are absent are zero, others are ignored."""
        return _joined(tensors.get(name, torch.zeros(shape)) for name, shape in self.shapes.items())

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Return a vector (size,) as tensors by parameter name.

        Raises:
            ValueError: the vector has another shape.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"the vector has shape {tuple(vector.shape)}; it must be ({self.size},)")
        parts = torch.split(vector, [math.prod(shape) for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def gradient(self) -> Tensor:
        """Return the gradient of the mean loss, shape (size,), in nats per example and unit of weight."""
        return self._mean(lambda i: self._gradients(i, keep=False)).cpu()

    def product(self, vector: Tensor) -> Tensor:
        """Return the Hessian of the mean loss times `vector`, both of shape (size,)."""
        pieces = self.unflatten(vector.detach().to(self.device))
        along = {name: self._laid_out(pieces[name].to(leaf)) for name, leaf in self._leaves.items()}
        return self._mean(lambda i: self._products(i, along)).to(vector.device)

    def _mean(self, derivatives: Callable[[int], Sequence[Tensor]]) -> Tensor:
        """Return the mean over the examples of what `derivatives` gives for each batch, on the operator's device."""
        counts = [len(labels) for _, labels in self._batches["train"]]
        total = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        with second_order(self.device):
            for i, count in enumerate(counts):
                total += _joined(derivatives(i), self.device) * (count / sum(counts))
        return total

    def _gradients(self, i: int, *, keep: bool) -> Sequence[Tensor]:
        """Return the gradient of batch `i`, with its own graph if `keep`."""
        inputs, labels = self._batches["train"][i]
        with torch.enable_grad():
            state = fold_state({**self._constants, **self._leaves}, self._pairs)
            logits = functional_call(self._net, state, (inputs.clone() if self._overwrites else inputs,))
            loss = functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)
            leaves = list(self._leaves.values())
            return torch.autograd.grad(loss, leaves, create_graph=keep, allow_unused=True, materialize_grads=True)

    def _products(self, i: int, along: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the product of batch `i`'s Hessian with `along`."""
        alone = len(self._batches["train"]) == 1
        first = self._kept or self._gradients(i, keep=True)
        self._kept = first if alone else ()
        pairs = [(g, v) for g, v in zip(first, along.values(), strict=True) if g.requires_grad]
        leaves = list(self._leaves.values())
        return torch.autograd.grad(
            [g for g, _ in pairs],
            leaves,
            [v for _, v in pairs],
            retain_graph=alone,
            allow_unused=True,
            materialize_grads=True,
        )
