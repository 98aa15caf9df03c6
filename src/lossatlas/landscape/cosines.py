"""How nearly orthogonal random directions are in the space of a network's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lossatlas.landscape.directions import normalize_like, parameter_names
from lossatlas.randomness import generator
from lossatlas.results import Floats


@dataclass(frozen=True)
class RandomCosines:
    """Absolute cosines between random directions, over pairs that share nothing."""

    pairs: int
    dimensions: int  # n, numbers in the weights with more than one dimension
    mean: float  # |cos| of two Gaussian directions
    standard_error: float  # of the mean
    expected: float  # sqrt(2 / (pi n))
    filter_normalized_mean: float  # |cos| of the same pairs after filter normalization
    filter_normalized_standard_error: float
    effective_dimensions: float  # of filter-normalized directions, whose cosine has the root mean square 1 / sqrt(n')


def random_cosines(state: Mapping[str, Tensor], *, pairs: int, seed: int) -> RandomCosines:
    """Compare pairs of random directions in the space of the weights with more than one dimension.

    Two Gaussian directions in n dimensions have a mean absolute cosine of about sqrt(2 / (pi n)) (Li et al. 2018,
    section 7.1). Filter normalization makes the cosine an average of the filters' cosines, weighted by their squared
    norms. Those of a filter f of n_f numbers have the variance 1 / n_f, so the effective dimensions are
    n' = (sum |w_f|^2)^2 / sum(|w_f|^4 / n_f); where few filters dominate, the mean is below sqrt(2 / (pi n')).

    Args:
        state: parameters and buffers by name.
        pairs: how many pairs, at least 2.
        seed: of the directions.

    Raises:
        ValueError: fewer than two pairs, or no weights with more than one dimension.
    """
    if pairs < 2:
        raise ValueError(f"pairs = {pairs} has no standard error; take at least 2")
    weights = {n: state[n].detach().cpu() for n in parameter_names(state) if state[n].dim() > 1}
    if not weights:
        raise ValueError("no weights with more than one dimension to draw directions for")
    cosines = np.array([_pair(weights, seed, index) for index in range(pairs)])
    n = sum(weight.numel() for weight in weights.values())
    (mean, error), (filter_mean, filter_error) = (_mean_and_error(column) for column in cosines.T)
    return RandomCosines(
        pairs=pairs,
        dimensions=n,
        mean=mean,
        standard_error=error,
        expected=math.sqrt(2 / (math.pi * n)),
        filter_normalized_mean=filter_mean,
        filter_normalized_standard_error=filter_error,
        effective_dimensions=_effective_dimensions(weights),
    )


def _pair(weights: Mapping[str, Tensor], seed: int, index: int) -> tuple[float, float]:
    """Return the absolute cosine of one pair, as drawn and filter-normalized."""
    products = np.zeros((2, 3))  # ab, aa, bb of both kinds, tensor by tensor
    for name, weight in weights.items():
        draws = generator(seed, "cosines", index, name)
        both = [torch.randn(weight.shape, generator=draws, dtype=weight.dtype) for _ in range(2)]
        products[0] += _products(*both)
        products[1] += _products(*(normalize_like(direction, weight, "filter") for direction in both))
    with np.errstate(invalid="ignore"):
        plain, filtered = np.abs(products[:, 0]) / np.sqrt(products[:, 1] * products[:, 2])
    return float(plain), float(filtered)


def _products(a: Tensor, b: Tensor) -> Floats:
    a, b = a.double(), b.double()
    return np.array([float((left * right).sum()) for left, right in ((a, b), (a, a), (b, b))])


def _mean_and_error(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _effective_dimensions(weights: Mapping[str, Tensor]) -> float:
    squares = total = 0.0
    for weight in weights.values():
        filters = weight.double().flatten(1).square().sum(1)
        total += float(filters.sum())
        squares += float(filters.square().sum()) / weight[0].numel()
    return total**2 / squares if squares else math.nan
