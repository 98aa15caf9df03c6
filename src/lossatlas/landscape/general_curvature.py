"""Products of the Hessian of any loss of any network with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from lossatlas.engine.batches import AnyData, Batch
from lossatlas.engine.general import GeneralEvaluator, general
from lossatlas.engine.objective import Criterion
from lossatlas.engine.precision import products
from lossatlas.landscape.curvature import HessianOperator, Weights, _joined, hessian_shapes


class GeneralHessian(GeneralEvaluator):
    """The gradient and the Hessian of the mean of any loss at a movable point, as `HessianOperator` has them.

    Vectors are flat, shape (size,), as there. Products are exact derivatives by double backward passes; attention is
    computed by the operations that have second derivatives.

    Args:
        model: any network; it is never written to.
        train: any data, see `as_batches`.
        loss: see `Objective`.
        weights: see `HessianOperator`; tied weights count once.
        batch_size: examples per pass, where data are not in batches.
        device: where to compute.

    Raises:
        ValueError: there are no such weights, or what `GeneralEvaluator` refuses.
    """

    def __init__(
        self,
        model: nn.Module,
        train: AnyData,
        *,
        loss: Criterion | None = None,
        weights: Weights = "matrices",
        batch_size: int = 128,
        device: torch.device | str = "cpu",
    ) -> None:
        """See the class."""
        self.shapes = hessian_shapes(model, weights)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        self._kept: Sequence[Tensor] = ()
        self._count = 0.0
        super().__init__(model, {"train": train}, loss=loss, batch_size=batch_size, device=device)
        self.load(model.state_dict())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Move to the point `state`: every parameter and buffer of the model by name; see `Evaluator.load`."""
        super().load(state)
        self._leaves = {name: self._slots[name].clone().requires_grad_() for name in self.shapes}
        self._kept = ()

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
        """Return the gradient of the mean loss, shape (size,), per unit of weight."""
        return self._mean(lambda batch: self._gradients(batch, keep=False))

    def product(self, vector: Tensor) -> Tensor:
        """Return the Hessian of the mean loss times `vector`, both of shape (size,)."""
        pieces = self.unflatten(vector.detach())
        along = [pieces[name].to(leaf) for name, leaf in self._leaves.items()]
        return self._mean(lambda batch: self._products(batch, along)).to(vector.device)

    def _mean(self, derivatives: Callable[[Batch], tuple[Sequence[Tensor], float]]) -> Tensor:
        """Return the sum of derivatives over all batches, divided by the count that the loss is the mean over."""
        total, count = torch.zeros(self.size, dtype=torch.float64), 0.0
        with products(self.device, tf32=False), sdpa_kernel(SDPBackend.MATH), _no_fast_path():
            for batch in self._batches["train"]:
                found, weight = derivatives(batch)
                total += _joined(found)
                count += weight
        return total / count

    def _gradients(self, batch: Batch, *, keep: bool) -> tuple[Sequence[Tensor], float]:
        """Return the gradient of a batch's total, with its own graph if `keep`, and the batch's count."""
        with torch.enable_grad():
            (total, count), _ = self.objective.parts(batch.copied().run(self._called), batch)
            leaves = list(self._leaves.values())
            found = torch.autograd.grad(total, leaves, create_graph=keep, allow_unused=True, materialize_grads=True)
        return found, float(count)

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        return functional_call(self._net, self._leaves, args, kwargs)

    def _products(self, batch: Batch, along: Sequence[Tensor]) -> tuple[Sequence[Tensor], float]:
        alone = len(self._batches["train"]) == 1
        first, count = (self._kept, self._count) if self._kept else self._gradients(batch, keep=True)
        self._kept, self._count = (first, count) if alone else ((), 0.0)
        pairs = [(g, v) for g, v in zip(first, along, strict=True) if g.requires_grad]
        found = torch.autograd.grad(
            [g for g, _ in pairs],
            list(self._leaves.values()),
            [v for _, v in pairs],
            retain_graph=alone,
            allow_unused=True,
            materialize_grads=True,
        )
        return found, count


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Compute attention layers by their plain operations: the fast ones have no derivatives."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def hessian_operator(
    model: nn.Module, train: AnyData, *, loss: Criterion | None = None, **options: Any
) -> HessianOperator | GeneralHessian:
    """Return the Hessian of a loss: `HessianOperator` for classifiers on pairs of tensors, `GeneralHessian` else.

    Args:
        model: the network.
        train: the data.
        loss: see `Objective`; the cross-entropy if absent.
        **options: `batch_size`, `device`, `weights`.

    Raises:
        ValueError: see `HessianOperator` and `GeneralHessian`.
    """
    if general({"train": train}, loss=loss, accuracy=None):
        return GeneralHessian(model, train, loss=loss, **options)
    return HessianOperator(model, train, **options)  # type: ignore[arg-type]
