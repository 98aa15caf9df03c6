"""Rank correlation of two numbers over runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from lossatlas.results import Floats, Integers

_EXACT_RUNS = 8  # up to this many runs all orders are tried for the p value


def _ranks(first: Sequence[float], second: Sequence[float]) -> Integers:
    """Return twice the ranks of both about their mean, (n, 2), without the pairs that have a NaN; `inf` is a rank.

    Equal values share the mean of their ranks; so twice the ranks are integers.
    """
    pairs = np.array([pair for pair in zip(first, second, strict=True) if not np.isnan(pair).any()]).reshape(-1, 2)
    return np.stack([_twice_about_mean(column) for column in pairs.T], axis=1)


def _twice_about_mean(values: Floats) -> Integers:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Integers = (2 * np.cumsum(counts) - counts - len(values))[place]
    return found


def _correlation(ranks: Integers) -> float | None:
    """Return the correlation of two columns of mean 0; of integers, a simple fraction is rounded once, as if typed."""
    squares = int((ranks[:, 0] ** 2).sum()) * int((ranks[:, 1] ** 2).sum())
    return int(ranks[:, 0] @ ranks[:, 1]) / math.sqrt(squares) if squares else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, None where one of the two is constant; pairs with a NaN do not count."""
    return _correlation(_ranks(first, second))


def rank_correlation(values: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """Return Spearman's rank correlation, the number of runs and the two-sided p value; NaN for fewer than 3 runs.

    Pairs with a NaN do not count. Up to 8 runs the p value is the share of all orders with at least this correlation
    (the usual approximation says 0 for 3 runs in order); beyond, that of Student's t.
    """
    ranks = _ranks(values, errors)
    n, rho = len(ranks), _correlation(ranks)
    if n < 3 or rho is None:
        return {"spearman": math.nan, "runs": n, "p_value": math.nan}
    if n > _EXACT_RUNS:
        t = abs(rho) * math.sqrt((n - 2) / (1 - rho**2)) if abs(rho) < 1 else math.inf
        return {"spearman": rho, "runs": n, "p_value": float(2 * special.stdtr(n - 2, -t))}
    orders = np.array(list(itertools.permutations(ranks[:, 0]))) @ ranks[:, 1]
    return {"spearman": rho, "runs": n, "p_value": float((np.abs(orders) >= abs(ranks[:, 0] @ ranks[:, 1])).mean())}
