"""The loss at initialization, with statistics of the batch or with fresh running statistics."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.engine.evaluator import Examples
from lossatlas.models.initialization import Scheme, initialize
from lossatlas.randomness import generator

_BATCH_NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class InitialLosses:
    """Mean cross-entropy (nats per example) of freshly initialized networks, one per seed."""

    scheme: Scheme
    seeds: tuple[int, ...]
    train_mode: tuple[float, ...]  # normalized by the statistics of each batch, as the first training step is
    eval_mode: tuple[float, ...]  # normalized by fresh running statistics: mean 0, variance 1


def initial_losses(
    model: nn.Module,
    examples: Examples,
    *,
    scheme: Scheme,
    seeds: Sequence[int],
    batch_size: int,
    device: torch.device | str = "cpu",
) -> InitialLosses:
    """Measure a network's loss at initialization (Li et al. 2018, section 6: normalized schemes start below 2.5).

    Each seed initializes a copy from the stream that training draws its weights from. Dropout is off in both modes,
    and no running statistic changes; losses are weighted by batch size.

    Args:
        model: a classifier that returns logits; only its structure counts, and it is left untouched.
        examples: normalized inputs (n, ...) and labels (n,), n >= 2.
        scheme: how weights are drawn, see `initialize`.
        seeds: of the weights, one network each.
        batch_size: examples per batch; batches are nearly equal, and none has a single example, which has no variance.
        device: where to compute.

    Raises:
        ValueError: fewer than two examples, a batch size below 2, or a network that the scheme does not cover.
    """
    if len(examples[1]) < 2 or batch_size < 2:
        raise ValueError(
            f"{len(examples[1])} examples in batches of {batch_size}: batch statistics need at least 2 of each"
        )
    batches = _batches(examples, batch_size, torch.device(device))
    twin = copy.deepcopy(model).to(device)
    train_mode, eval_mode = [], []
    for seed in seeds:
        initialize(twin, scheme=scheme, generator=generator(seed, "init"))
        eval_mode.append(_mean_loss(twin.eval(), batches))
        train_mode.append(_mean_loss(_with_batch_statistics(twin), batches))
    return InitialLosses(scheme, tuple(seeds), tuple(train_mode), tuple(eval_mode))


def _batches(examples: Examples, batch_size: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    n = len(examples[1])
    parts = max(1, min(math.ceil(n / batch_size), n // 2))
    inputs, labels = (values.to(device).tensor_split(parts) for values in examples)
    return list(zip(inputs, labels, strict=True))


def _with_batch_statistics(model: nn.Module) -> nn.Module:
    """Return a copy that normalizes by each batch and neither reads nor writes running statistics."""
    twin = copy.deepcopy(model).eval()
    for module in twin.modules():
        if isinstance(module, _BATCH_NORMALIZATIONS):
            module.train()
            module.track_running_stats = False
    return twin


@torch.no_grad()
def _mean_loss(model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    total, n = 0.0, 0
    for inputs, labels in batches:
        losses = functional.cross_entropy(model(inputs.clone()), labels, reduction="none")
        total += float(losses.sum(dtype=torch.float64))
        n += len(labels)
    return total / n
