"""Batch-normalization statistics of a network at weights it was not trained at."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lossatlas.engine.evaluator import model_state

_KINDS = ("running_mean", "running_var")


def _running(module: _BatchNorm) -> tuple[Tensor, ...]:
    return tuple(getattr(module, kind) for kind in _KINDS)


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
    variances, weighted by batch size, so they depend on the batch size. A layer that a pass uses twice gets the mean of
    both uses; one that no pass uses keeps what it has. The statistics that were there before do not count.

    Args:
        model: any network.
        inputs: clean normalized examples, (n, ...) with n >= 2.
        batch_size: examples per pass, at least 2.
        device: where to compute.

    Attributes:
        batch_size: examples per pass.
        examples: all examples.

    Raises:
        ValueError: fewer than two examples, or an impossible batch size.
        RuntimeError: the network cannot compute on these examples.
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
        # a module with several names stands in the state under each of them
        self._names: dict[_BatchNorm, list[str]] = {}
        for name, module in self._net.named_modules(remove_duplicate=False):
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                self._names.setdefault(module, []).append(name)
        if self._names:
            self._prepare(inputs)

    def _prepare(self, inputs: Tensor) -> None:
        """Bring the examples to the device and let every batch normalization add up what it sees."""
        for module in self._names:
            module.train()
            module.momentum = 1.0  # the running statistics are then those of the last batch
            module.register_forward_hook(self._add)
        self._batches = full_batches(inputs.to(self._device), self.batch_size)
        self._lay_out(torch.channels_last)
        if not self._runs():
            self._lay_out(torch.contiguous_format)
            self._try()  # a network that does not run at all says why
        self._slots = model_state(self._net)

    def _lay_out(self, format_: torch.memory_format) -> None:
        self._net.to(memory_format=format_)
        if self._batches[0].dim() == 4:
            self._batches = [batch.contiguous(memory_format=format_) for batch in self._batches]

    @torch.no_grad()
    def _try(self) -> None:
        self._begin()
        self._pass(self._batches[0][:2])

    def _runs(self) -> bool:
        """Tell whether the network can compute in this order of memory: a `view` of channels-last maps cannot."""
        try:
            self._try()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            return False
        return True

    def _begin(self) -> None:
        """Forget what was there: a value that is not finite would outlive even a momentum of 1."""
        self._sums: dict[_BatchNorm, tuple[Tensor, ...]] = {}
        self._weights = dict.fromkeys(self._names, 0)
        for module in self._names:
            module.reset_running_stats()
            self._sums[module] = tuple(torch.zeros_like(t, dtype=torch.float64) for t in _running(module))

    def _pass(self, batch: Tensor) -> None:
        self._size = len(batch)
        self._net(batch.clone())  # some networks write to their inputs

    def _add(self, module: _BatchNorm, _inputs: object, _output: object) -> None:
        """Add the statistics of the batch that has just passed a layer."""
        for total, seen in zip(self._sums[module], _running(module), strict=True):
            total.add_(seen, alpha=self._size)
        self._weights[module] += self._size

    @property
    def layers(self) -> int:
        """The number of batch normalizations whose statistics are recomputed."""
        return len(self._names)

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `state` with the running statistics that belong to its weights.

        Args:
            state: every parameter and buffer of the model by name.
        """
        fresh = dict(state)
        if not self._names:
            return fresh
        for name, slot in self._slots.items():
            slot.copy_(state[name])
        self._begin()
        for batch in self._batches:
            self._pass(batch)
        for module, weight in self._weights.items():
            for key, total in self._totals(module) if weight else ():
                fresh[key] = (total / weight).to(state[key])
        return fresh

    def _totals(self, module: _BatchNorm) -> Iterator[tuple[str, Tensor]]:
        """Yield the sums of a layer by each name that they have in the state."""
        for name in self._names[module]:
            for kind, total in zip(_KINDS, self._sums[module], strict=True):
                yield f"{name}.{kind}", total
