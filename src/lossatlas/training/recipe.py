"""How a network is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from lossatlas.data import NormalizationName
from lossatlas.training.schedules import ScheduleKind

Precision = Literal["float32", "tf32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of one training (Li et al. 2018, section 5, unless said otherwise).

    Attributes:
        epochs: passes over the training set; 0 publishes the initialization.
        batch_size: examples per optimizer step; a last batch of one example joins the one before.
        optimizer: `sgd` (Nesterov momentum) or `adam` (default betas); both with L2 weight decay on all parameters.
        lr: initial learning rate.
        momentum: of SGD.
        weight_decay: L2 coefficient.
        schedule: name of the learning-rate schedule.
        schedule_options: see `make_schedule`.
        augment: random crop and flip per image; None trains on the clean images.
        normalization: name of the input normalization.
        initialization: name of the initialization.
        micro_batch: largest number of examples in memory at once; gradients of a larger batch are accumulated.
            Batch normalization then uses the statistics of each micro-batch, and its running statistics are updated
            once per micro-batch.
        checkpoints: epochs whose weights are kept, besides 0 and the last.
        precision: of the forward pass on a GPU.
        compile: run the network through `torch.compile`.
    """

    epochs: int
    batch_size: int
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: ScheduleKind = "step_drops"
    schedule_options: Mapping[str, Any] = field(default_factory=lambda: {"fractions": [1 / 2, 3 / 4, 11 / 12]})
    augment: Mapping[str, Any] | None = None
    normalization: NormalizationName = "li"
    initialization: Literal["li", "garipov", "torch", "glorot"] = "li"
    micro_batch: int | None = None
    checkpoints: Iterable[int] = ()
    precision: Precision = "float32"
    compile: bool = False

    def keeps(self, epoch: int) -> bool:
        """Return whether the weights after `epoch` are kept."""
        return epoch in (0, self.epochs) or epoch in tuple(self.checkpoints)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over all parameters of `model`."""
        if self.optimizer == "adam":
            return torch.optim.Adam(model.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            model.parameters(),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.momentum > 0,
        )
