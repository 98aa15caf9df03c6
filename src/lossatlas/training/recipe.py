"""How a network is trained."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import torch
from torch import nn

from lossatlas.data import NormalizationName
from lossatlas.training.precision import Precision
from lossatlas.training.schedules import ScheduleKind

OptimizerName = Literal["sgd", "adam"]
InitializationName = Literal["li", "garipov", "torch", "glorot"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training (Li et al. 2018, section 5, unless said otherwise).

    Attributes:
        epochs: passes over the training set; 0 publishes the initialization.
        batch_size: examples per optimizer step; a last batch of one example joins the one before.
        optimizer: `sgd` (with momentum) or `adam` (default betas); both with L2 weight decay on all parameters.
        lr: initial learning rate.
        momentum: of SGD.
        nesterov: whether SGD's momentum is Nesterov's (Li et al.) or plain (Garipov et al.).
        weight_decay: L2 coefficient.
        schedule: name of the learning-rate schedule.
        schedule_options: see `make_schedule`.
        augment: random crop and flip per image; None trains on the clean images.
        normalization: name of the input normalization.
        initialization: name of the initialization.
        micro_batch: largest number of examples in one pass; gradients of a larger batch are accumulated.
            Batch normalization then uses the statistics of each micro-batch, and its running statistics are updated
            once per micro-batch.
        checkpoints: epochs whose weights are kept, besides 0 and the last.
        checkpoint_every: keep the weights after every so many epochs too.
        precision: of training passes. `float32` is exact, which convolutions on a GPU are not by PyTorch's default;
            `tf32` rounds the factors of products to 10 bits there, and is exact on a CPU; `bf16` is PyTorch's autocast.
            Losses and errors after an epoch are computed in float32 in any case.
        compile: run the network through `torch.compile`.

    Raises:
        ValueError: an unknown name or an impossible number.
    """

    epochs: int
    batch_size: int
    optimizer: OptimizerName = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: ScheduleKind = "step_drops"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    augment: Mapping[str, Any] | None = None
    normalization: NormalizationName = "li"
    initialization: InitializationName = "li"
    micro_batch: int | None = None
    checkpoints: Collection[int] = ()
    checkpoint_every: int | None = None
    precision: Precision = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        """Check the closed choices and the counts, and keep the checkpoints of an iterator that is used up once."""
        object.__setattr__(self, "checkpoints", tuple(self.checkpoints))
        for name, allowed in _CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"{name} = {value!r} is unknown; allowed: {', '.join(allowed)}")
        for name, least in (("epochs", 0), ("batch_size", 1), ("micro_batch", 1), ("checkpoint_every", 1)):
            if (count := getattr(self, name)) is not None and count < least:
                raise ValueError(f"{name} = {count} is impossible; it must be at least {least}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr = {self.lr} is impossible; it must be finite and above 0, for example 0.1")
        for name, most in (("momentum", 1.0), ("weight_decay", math.inf)):
            if not 0 <= (value := getattr(self, name)) < most:
                bound = f"at least 0 and below {most:g}" if most < math.inf else "at least 0 and finite"
                raise ValueError(f"{name} = {value} is impossible; it must be {bound}")

    def settings(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}

    def keeps(self, epoch: int) -> bool:
        """Return whether the weights after `epoch` are kept."""
        regular = self.checkpoint_every is not None and epoch % self.checkpoint_every == 0
        return regular or epoch in (0, self.epochs) or epoch in self.checkpoints

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over all parameters of `model`."""
        if self.optimizer == "adam":
            return torch.optim.Adam(model.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        return torch.optim.SGD(
            model.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov and self.momentum > 0,
            fused=True,  # one pass over each weight instead of one per operation
        )


_CHOICES = {
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleKind),
    "normalization": get_args(NormalizationName),
    "initialization": get_args(InitializationName),
    "precision": get_args(Precision),
}
