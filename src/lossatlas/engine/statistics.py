"""Batch-normalization statistics of a network at weights it was not trained at."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lossatlas.engine.evaluator import model_state


def full_batches(inputs: Tensor, batch_size: int) -> list[Tensor]:
    """Divide examples into batches in their order; a last batch of one, which has no variance, joins the one before."""
    batches = list(torch.split(inputs, batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


class Statistics:
    """Recomputes the running statistics of batch normalization from clean examples; the caller's model stays as it is.

    Every batch passes the network with normalization by its own statistics and everything else (dropout) as in
    evaluation. The new running mean and variance of a layer are the means of the batches' means and (unbiased)
    variances, weighted by batch size, so they depend on the batch size.

    Args:
        model: any network.
        inputs: clean normalized examples, (n, ...) with n >= 2.
        batch_size: examples per pass, at least 2.
        device: where to compute.

    Raises:
        ValueError: fewer than two examples, or an impossible batch size.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, *, batch_size: int, device: torch.device | str = "cpu"
    ) -> None:
        """See the class."""
        if batch_size < 2:
            raise ValueError(f"batch_size = {batch_size} of the refresh is impossible; it must be at least 2")
        if len(inputs) < 2:
            raise ValueError(f"the refresh has {len(inputs)} examples; a variance needs at least 2")
        self.batch_size, self.examples = batch_size, len(inputs)
        self._device = torch.device(device)
        self._net = copy.deepcopy(model).to(self._device).eval().requires_grad_(False)
        named = [(name, module) for name, module in self._net.named_modules() if isinstance(module, _BatchNorm)]
        self._norms = {name: module for name, module in named if module.running_mean is not None}
        if not self._norms:
            return
        for module in self._norms.values():
            module.train()
            module.momentum = 1.0  # the running statistics are then those of the last batch
        format_ = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
        self._net.to(memory_format=format_)
        self._batches = [
            batch.to(self._device).contiguous(memory_format=format_) for batch in full_batches(inputs, batch_size)
        ]
        self._slots = model_state(self._net)

    @property
    def layers(self) -> int:
        """The number of batch normalizations whose statistics are recomputed."""
        return len(self._norms)

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `state` with the running statistics that belong to its weights.

        Args:
            state: every parameter and buffer of the model by name.
        """
        fresh = dict(state)
        if not self._norms:
            return fresh
        for name, slot in self._slots.items():
            slot.copy_(state[name])
        names = [f"{name}.{kind}" for name in self._norms for kind in ("running_mean", "running_var")]
        sums = {name: torch.zeros_like(self._slots[name], dtype=torch.float64) for name in names}
        for batch in self._batches:
            self._net(batch.clone())  # some networks write to their inputs
            for name, total in sums.items():
                total.add_(self._slots[name].double(), alpha=len(batch))
        for name, total in sums.items():
            fresh[name] = (total / self.examples).to(state[name].dtype)
        return fresh
