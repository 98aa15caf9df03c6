"""Rank correlation of two numbers over runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from lossatlas.results import Floats

_EXACT_RUNS = 8  # up to this many runs all orders are tried for the p value


def _ranks(first: Sequence[float], second: Sequence[float]) -> Floats:
    """Return the ranks of both, (n, 2), without the pairs that have a NaN; `inf` is a rank."""
    pairs = np.array([pair for pair in zip(first, second, strict=True) if not np.isnan(pair).any()])
    return np.stack([_mean_ranks(column) for column in pairs.reshape(-1, 2).T], axis=1)


def _mean_ranks(values: Floats) -> Floats:
    """Return ranks from 1 on; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


def _unit(ranks: Floats) -> Floats | None:
    """Return the ranks about their mean as columns of length 1, None where one of the two is constant."""
    if not len(ranks) or (ranks == ranks[0]).all(axis=0).any():
        return None
    found: Floats = (ranks - ranks.mean(axis=0)) / (ranks.std(axis=0) * math.sqrt(len(ranks)))
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, None where one of the two is constant; pairs with a NaN do not count."""
    unit = _unit(_ranks(first, second))
    return None if unit is None else float(np.clip(unit[:, 0] @ unit[:, 1], -1, 1))


def rank_correlation(values: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """Return Spearman's rank correlation, the number of runs and the two-sided p value; NaN for fewer than 3 runs.

    Pairs with a NaN do not count. Up to 8 runs the p value is the share of all orders with at least this correlation
    (the usual approximation says 0 for 3 runs in order); beyond, that of Student's t.
    """
    ranks = _ranks(values, errors)
    n, unit, rho = len(ranks), _unit(ranks), spearman(values, errors)
    if n < 3 or unit is None or rho is None:
        return {"spearman": math.nan, "runs": n, "p_value": math.nan}
    if n > _EXACT_RUNS:
        t = abs(rho) * math.sqrt((n - 2) / (1 - rho**2)) if abs(rho) < 1 else math.inf
        return {"spearman": rho, "runs": n, "p_value": float(2 * special.stdtr(n - 2, -t))}
    orders = np.array(list(itertools.permutations(unit[:, 0]))) @ unit[:, 1]
    return {"spearman": rho, "runs": n, "p_value": float((np.abs(orders) >= abs(rho) - 1e-9).mean())}
