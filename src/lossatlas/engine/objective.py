"""What is measured on a batch: a loss, and an accuracy where it has a meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.engine.batches import Batch
from lossatlas.engine.identity import callable_identity

# of the network's outputs and the batch's targets: one value per example, their mean, or a total and its count
Criterion = Callable[[Any, Any], Any]
Part = tuple[Tensor, float | Tensor]  # a total over a batch, float64, and what a mean divides it by


@dataclass(frozen=True)
class Objective:
    """A loss and an accuracy over batches.

    Each is called with the network's outputs and the batch's targets (the last item of a tuple; the whole of a
    mapping), and returns one value per example, shape (n,); or the batch's mean, a scalar, which counts as often as the
    batch has examples; or a pair: a total, and the number of targets that it is the total of.

    Attributes:
        loss: None takes the `loss` that the network returns for mappings, else the cross-entropy of logits.
        accuracy: None is the fraction of largest logits that are the label, where there are logits (n, classes) and
            integer labels (n,), and NaN elsewhere; NaN too where an example's logits hold NaN, see `right`.
    """

    loss: Criterion | None = None
    accuracy: Criterion | None = None

    def identity(self) -> dict[str, Any]:
        """Return what tells the objective from others.

        Raises:
            ValueError: a function cannot be told from others.
        """
        return {
            name: None if function is None else callable_identity(function)
            for name, function in (("loss", self.loss), ("accuracy", self.accuracy))
        }

    def losses(self, outputs: Any, batch: Batch) -> Tensor | tuple[Any, Any]:
        """Return what the loss returns, refusing what has no meaning."""
        if self.loss is not None:
            return _checked(self.loss(outputs, batch.targets), batch.n, "loss")
        if batch.named:
            if (found := part_of(outputs, "loss")) is None:
                raise ValueError(
                    f"the model returns a {type(outputs).__name__} without a loss; put the labels into the batches, or "
                    "pass loss=, a function of the outputs and the batch"
                )
            return _checked(found, batch.n, "loss")
        logits = class_logits(outputs, batch.targets)
        if logits is None:
            raise ValueError(
                f"the model returns {_about(outputs)} for targets {_about(batch.targets)}; without loss= they are "
                "logits (n, classes) and integer labels (n,): pass loss=, a function of outputs and targets"
            )
        return functional.cross_entropy(logits, batch.targets, reduction="none")

    def accuracies(self, outputs: Any, batch: Batch) -> Tensor | tuple[Any, Any] | None:
        """Return what the accuracy returns, None without a meaning."""
        if self.accuracy is not None:
            return _checked(self.accuracy(outputs, batch.targets), batch.n, "accuracy")
        labels = batch.targets.get("labels") if batch.named else batch.targets
        logits = class_logits(outputs, labels)
        return None if logits is None else right(logits, labels)

    def parts(self, outputs: Any, batch: Batch) -> tuple[Part, Part | None]:
        """Return total and count of the loss on a batch, and those of the accuracy, None without a meaning."""
        accuracies = self.accuracies(outputs, batch)
        hits = None if accuracies is None else _part(accuracies, batch.n)
        return _part(self.losses(outputs, batch), batch.n), hits

    def averages(self, outputs: Any, batch: Batch) -> tuple[bool, bool]:
        """Tell whether loss and accuracy return a batch's mean: nothing but other batches shows of what it is one."""
        loss, accuracy = self.losses(outputs, batch), self.accuracies(outputs, batch)
        return _scalar(loss), _scalar(accuracy)


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 for each example whose largest logit is the label, 0 for others, and NaN where its logits hold NaN.

    Args:
        logits: (n, classes).
        labels: (n,), integers.

    Returns:
        Shape (n,), float64.
    """
    # the largest of logits with NaN would be the first NaN: a class that nobody has predicted
    return (logits.argmax(1) == labels).double().masked_fill(logits.isnan().any(1), math.nan)


def part_of(outputs: Any, name: str) -> Any:
    """Return what an object or a mapping of outputs has by a name, None if nothing."""
    return outputs.get(name) if isinstance(outputs, Mapping) else getattr(outputs, name, None)


def class_logits(outputs: Any, labels: Any) -> Tensor | None:
    """Return logits (n, classes) that belong to integer labels (n,), None where outputs and labels are not such."""
    logits = outputs if isinstance(outputs, Tensor) else part_of(outputs, "logits")
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor) or logits.dim() != 2:
        return None
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    return logits if whole and labels.shape == logits.shape[:1] and logits.is_floating_point() else None


def _about(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"of shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    return f"of type {type(value).__name__}"


def _checked(found: Any, n: int, called: str) -> Tensor | tuple[Any, Any]:
    if isinstance(found, int | float):
        found = torch.tensor(float(found), dtype=torch.float64)
    if isinstance(found, Tensor) and (found.dim() == 0 or found.shape == (n,)):
        return found
    if isinstance(found, tuple) and len(found) == 2 and all(_scalar(item) for item in found):
        return found
    about = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
    raise ValueError(
        f"{called} returns {about} for {n} examples; return one value per example ({n},), their mean (), or a pair of "
        "scalars: the total and the number of targets (for sequences: loss.mean(1), or sum and count)"
    )


def _scalar(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, Tensor) and value.dim() == 0)


def _part(found: Tensor | tuple[Any, Any], n: int) -> Part:
    if isinstance(found, tuple):
        return torch.as_tensor(found[0]).double(), found[1]
    # summed in float64: a batch of large losses must not overflow before its mean does
    return (found.double() * n if found.dim() == 0 else found.sum(dtype=torch.float64)), n


def mean(total: Tensor | float, count: Tensor | float) -> float:
    """Return a total divided by its count, NaN where nothing was counted."""
    return float(total) / float(count) if float(count) else math.nan
