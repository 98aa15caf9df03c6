"""How far the gradients of different mini-batches agree, at the minimizer and away from it (shattered gradients)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lossatlas.engine.evaluator import Examples
from lossatlas.randomness import generator
from lossatlas.results import Floats

# columns of the gradients that are widened to float64 at once
_BLOCK = 1 << 16


@dataclass(frozen=True)
class GradientAgreement:
    """Gradients of the mean loss on disjoint mini-batches at one point, compared pair by pair."""

    loss: float  # mean over all mini-batches, nats per example
    mean_cosine: float  # over the pairs; NaN where a gradient is zero or not finite
    std_cosine: float  # over the pairs, which share gradients: a spread, not an error of the mean
    mean_norm: float  # L2, over weights with more than one dimension
    batches: int
    batch_size: int


def mini_batches(examples: Examples, *, batches: int, batch_size: int, seed: int) -> list[Examples]:
    """Return `batches` disjoint mini-batches of `batch_size` examples each, drawn at random.

    Raises:
        ValueError: fewer than two mini-batches, an empty one, or too few examples.
    """
    n = len(examples[1])
    if batches < 2 or batch_size < 1:
        raise ValueError(f"{batches} mini-batches of {batch_size}; gradients are compared from 2 mini-batches of 1 up")
    if batches * batch_size > n:
        raise ValueError(
            f"{batches} disjoint mini-batches of {batch_size} need {batches * batch_size} examples, there are {n}; "
            "take fewer or smaller ones, or more examples"
        )
    order = torch.randperm(n, generator=generator(seed, "gradient_batches"))[: batches * batch_size]
    return [(examples[0][chosen], examples[1][chosen]) for chosen in torch.split(order, batch_size)]


def gradient_agreement(
    model: nn.Module,
    batches: list[Examples],
    *,
    state: Mapping[str, Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> GradientAgreement:
    """Compare the gradients of mini-batches by their cosines (Li et al. 2018, section 6; Balduzzi et al. 2017).

    Gradients are those of the mean cross-entropy over weights with more than one dimension, in eval mode with the
    point's running statistics. All of them are kept at once: memory is `len(batches)` times the weights.

    Args:
        model: a classifier that returns logits; it is left untouched.
        batches: mini-batches of equal size, normalized inputs and labels, for example from `mini_batches`.
        state: the point, every parameter and buffer by name; the model's own if absent.
        device: where to compute.

    Raises:
        ValueError: fewer than two mini-batches, or no weights with more than one dimension.
    """
    if len(batches) < 2:
        raise ValueError(f"{len(batches)} mini-batches; pairs need at least 2")
    twin = copy.deepcopy(model).to(device).eval()
    if state is not None:
        twin.load_state_dict(dict(state))
    losses, rows = zip(*_gradients(twin, batches), strict=True)
    gram = _gram(torch.stack(rows))
    norms = np.sqrt(np.diagonal(gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = (gram / np.outer(norms, norms))[np.triu_indices(len(batches), k=1)]
    return GradientAgreement(
        loss=float(np.mean(losses)),
        mean_cosine=float(np.mean(cosines)),
        std_cosine=float(np.std(cosines)),
        mean_norm=float(np.mean(norms)),
        batches=len(batches),
        batch_size=len(batches[0][1]),
    )


def _gradients(model: nn.Module, batches: list[Examples]) -> Iterator[tuple[float, Tensor]]:
    """Yield each mini-batch's loss and gradient, (n,)."""
    weights = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    if not weights:
        raise ValueError("no weights with more than one dimension to take gradients of; pass a network that has some")
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.dim() > 1)
    for inputs, labels in batches:
        logits = model(inputs.to(weights[0].device, copy=True))
        loss = functional.cross_entropy(logits, labels.to(logits.device))
        found = torch.autograd.grad(loss, weights)
        yield float(loss.detach()), torch.cat([gradient.reshape(-1) for gradient in found])


def _gram(rows: Tensor) -> Floats:
    """Return the inner products of the rows, summed in float64 block by block."""
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for block in torch.split(rows, _BLOCK, dim=1):
        wide = block.double()
        total += wide @ wide.T
    gram: Floats = total.cpu().numpy()
    return gram
