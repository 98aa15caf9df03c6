"""The weights of a curve's nodes: hat functions of a polygonal chain, Bernstein polynomials of a Bezier curve."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lossatlas.results import Floats

CurveKind = Literal["segment", "chain", "bezier"]


def require_bends(kind: str, bends: int) -> None:
    """Refuse an unknown kind of curve, or a number of bends that it cannot have.

    Raises:
        ValueError: see above.
    """
    if kind not in get_args(CurveKind):
        raise ValueError(f"kind = {kind!r} is unknown; allowed: {', '.join(get_args(CurveKind))}")
    if bends < 0 or (kind == "segment" and bends):
        raise ValueError(f"bends = {bends} of a {kind}; a segment has 0, a chain or bezier 0 or more")


def _bernstein(t: Floats, degree: int) -> Floats:
    """Return the Bernstein polynomials at m points, (m, degree + 1), by repeated interpolation, which keeps digits."""
    values = np.ones((len(t), 1))
    for _ in range(degree):
        first, last = (np.pad(values, ((0, 0), pad)) for pad in ((0, 1), (1, 0)))
        values = (1 - t)[:, None] * first + t[:, None] * last
    return values


def _hats(t: Floats, intervals: int) -> tuple[Floats, Floats]:
    """Return the interval of a chain that each of m points lies in, and where in it, 0 to 1."""
    interval = np.minimum(np.floor(t * intervals), intervals - 1)
    return interval, t * intervals - interval


def node_weights(kind: CurveKind, t: Floats, bends: int) -> Floats:
    """Return the weights of the nodes at m points, (m, bends + 2); see `coefficients`, also for its errors."""
    require_bends(kind, bends)
    outside = t[~((t >= 0) & (t <= 1))]
    if len(outside):
        raise ValueError(f"t = {outside[0]} is not on the curve; it goes from 0 to 1")
    if kind != "chain":
        return _bernstein(t, bends + 1)
    interval, inside = _hats(t, bends + 1)
    rows, first = np.arange(len(t)), interval.astype(int)
    weights = np.zeros((len(t), bends + 2))
    weights[rows, first], weights[rows, first + 1] = 1 - inside, inside
    return weights


def node_slopes(kind: CurveKind, t: Floats, bends: int) -> Floats:
    """Return the derivatives of the nodes' weights by t at m points, (m, bends + 2)."""
    if kind == "chain":
        interval, _ = _hats(t, bends + 1)
        steps = (interval[:, None] == np.arange(bends + 1)).astype(np.float64)
    else:
        steps = _bernstein(t, bends)
    # each step goes from one node to the next
    slopes: Floats = (bends + 1) * (np.pad(steps, ((0, 0), (1, 0))) - np.pad(steps, ((0, 0), (0, 1))))
    return slopes


def coefficients(kind: CurveKind, t: float, bends: int) -> Floats:
    """Return the weight of each node at t, (bends + 2,) float64: not negative, with the sum 1.

    The nodes of a chain follow each other in equal intervals of t, with straight pieces between; those of a Bezier
    curve have the Bernstein polynomials as weights (Garipov et al. 2018, section 3). Without bends both are the
    segment. The ends are met exactly: weights (1, 0, ...) at t = 0 and (..., 0, 1) at t = 1.

    Raises:
        ValueError: t outside [0, 1], an unknown kind or an impossible number of bends.
    """
    weights: Floats = node_weights(kind, np.array([t], dtype=np.float64), bends)[0]
    return weights
