"""What a training changes, and how one batch acts on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import model_state


class Learner(Protocol):
    """Something with weights to train: a network, or the bends of a curve through the weights of one.

    The loop calls, for each batch, `begin_batch`, then `logits` for each part of it, whose loss it differentiates,
    then `end_batch`; after that every parameter of `learned` has its gradient.
    """

    @property
    def network(self) -> nn.Module:
        """The network that is evaluated after each epoch, at the weights that `point` returns."""

    @property
    def learned(self) -> nn.Module:
        """What holds the parameters that are optimized, kept and stored."""

    def settings(self) -> dict[str, Any]:
        """Return what the training depends on besides seed and recipe, as plain values."""

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""

    def begin_epoch(self, seed: int, number: int) -> None:
        """Prepare for training; the randomness of an epoch is that of seed and number."""

    def begin_batch(self) -> None:
        """Choose the weights that the next batch sees."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the network's outputs at these weights."""

    def end_batch(self) -> None:
        """Bring the gradients of these weights to the parameters of `learned`."""

    def point(self, inputs: Tensor) -> Mapping[str, Tensor]:
        """Return the weights to evaluate; `inputs` are the clean training examples."""


class NetworkLearner:
    """Trains a network's own weights."""

    def __init__(self, model: nn.Module, *, compile: bool = False) -> None:
        """Take the network, which is trained in place."""
        self.network = self.learned = model
        self._forward: Callable[[Tensor], Tensor] = torch.compile(model) if compile else model

    def settings(self) -> dict[str, Any]:
        """Return nothing: seed and recipe say it all."""
        return {}

    def to(self, device: torch.device) -> None:
        """Move the network to a device."""
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def begin_epoch(self, seed: int, number: int) -> None:
        """Switch to training mode."""
        self.network.train()

    def begin_batch(self) -> None:
        """Do nothing: a batch sees the network's own weights."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the network's outputs."""
        return self._forward(inputs)

    def end_batch(self) -> None:
        """Do nothing: the gradients are where they belong."""

    def point(self, inputs: Tensor) -> Mapping[str, Tensor]:
        """Return the network's own weights."""
        return model_state(self.network)
