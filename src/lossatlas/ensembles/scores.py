"""How good class probabilities are: error, loss, calibration, and how much the members of an ensemble differ.

Probabilities have the shape (members, n, classes), averages (n, classes), labels (n,). No result depends on the order
of the members, to the last bit: sums over members are sorted, exact, or of integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.results import Floats, Integers

Probabilities = npt.NDArray[Any]

# The smallest normal number of float32, in which probabilities are stored: what was rounded to zero or nearly so counts
# as this, 87.3 nats.
SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Score:
    """How good one set of class probabilities is."""

    error: float  # fraction of the examples
    loss: float  # negative log-likelihood, nats per example
    calibration: float  # expected calibration error, a fraction


def average(probability: Probabilities) -> Floats:
    """Return the average of the members' probabilities in float64, (n, classes).

    Raises:
        ValueError: there are no members.
    """
    if not len(probability):
        raise ValueError("there are no members to average; pass at least one")
    # from the smallest to the largest: whatever the order of the members, the same sum
    mean: Floats = np.sort(probability, axis=0).mean(axis=0, dtype=np.float64)
    return mean


def predicted(mean: Probabilities) -> Integers:
    """Return the most probable class of each example, (n,); of equal ones the first."""
    found: Integers = np.argmax(mean, axis=-1)
    return found


def error(mean: Probabilities, label: Integers) -> float:
    """Return the fraction of examples whose most probable class is wrong."""
    return float(np.mean(predicted(mean) != label))


def loss(mean: Probabilities, label: Integers) -> float:
    """Return the negative log-likelihood, nats per example; probabilities below `SMALLEST` count as that."""
    true = np.take_along_axis(mean, label[:, None], axis=1)[:, 0].astype(np.float64)
    return float(-np.log(np.maximum(true, SMALLEST)).mean())


def calibration_error(mean: Probabilities, label: Integers, *, bins: int = 15) -> float:
    """Return the expected calibration error (Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3).

    An example's confidence is the largest of its probabilities. Examples are sorted into bins of equal width,
    ((m - 1) / bins, m / bins] for m = 1, ..., bins; the error is the mean over bins, weighted by their examples, of
    the difference between accuracy and mean confidence.

    Raises:
        ValueError: there is no bin.
    """
    if bins < 1:
        raise ValueError(f"bins = {bins} is impossible; it must be at least 1")
    confidence = mean.max(axis=1).astype(np.float64)
    right = predicted(mean) == label
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    # |B| / n * |acc - conf| of a bin is the sum of right - confidence over its examples, divided by n
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(label))


def score(mean: Probabilities, label: Integers, *, bins: int = 15) -> Score:
    """Return error, loss and calibration error of probabilities (n, classes)."""
    return Score(error(mean, label), loss(mean, label), calibration_error(mean, label, bins=bins))


def disagreement(probability: Probabilities) -> float | None:
    """Return the fraction of examples that two members put into different classes, averaged over all pairs of members.

    None for a single member.
    """
    members, n, classes = probability.shape
    if members < 2:
        return None
    flat = (predicted(probability) + np.arange(n) * classes).ravel()
    votes = np.bincount(flat, minlength=n * classes)  # of each class of each example
    agreeing = int((votes * (votes - 1)).sum()) // 2
    return 1 - agreeing / int(n * math.comb(members, 2))


def divergence(probability: Probabilities) -> float | None:
    """Return the Jensen-Shannon divergence of the members, nats per example, averaged over the examples.

    With equal weights on M members it is the mean over the members of the Kullback-Leibler divergence KL(p_m || p),
    p being the average of all p_m; 0 if they are equal, at most log M. None for a single member.
    """
    if len(probability) < 2:
        return None
    mean = average(probability)
    parts = (_relative_entropy(member.astype(np.float64), mean) for member in probability)
    return max(0.0, math.fsum(parts) / len(probability))


def _relative_entropy(p: Floats, q: Floats) -> float:
    """Return KL(p || q) in nats, the mean over the rows; q is positive where p is."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return float((p * np.log(ratio)).sum(axis=1).mean())
