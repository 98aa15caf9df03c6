"""The order of examples and their division into batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def epoch_batches(n: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Return a random order of `n` examples in batches; a last batch of one joins the one before.

    Batch normalization has no variance for a single example. With `batch_size` 1 every batch is one example.
    """
    batches = list(torch.split(torch.randperm(n, generator=generator), batch_size))
    if len(batches) > steps_per_epoch(n, batch_size):
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return how many batches `epoch_batches` makes."""
    steps = math.ceil(n / batch_size)
    return steps - 1 if n > batch_size and n % batch_size == 1 else steps


def micro_batches(batch: Tensor, largest: int | None) -> list[Tensor]:
    """Divide a batch into nearly equal parts of at most `largest` examples.

    A part has one example more where otherwise another would be of one only.
    """
    if largest is None or len(batch) <= largest:
        return [batch]
    return list(batch.tensor_split(min(math.ceil(len(batch) / largest), len(batch) // 2)))
