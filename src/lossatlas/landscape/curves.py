"""Curves through weight space: polygonal chains and Bezier curves of any number of bends (Garipov et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.landscape.curve_weights import CurveKind, coefficients, node_slopes, node_weights, require_bends
from lossatlas.results import Floats

__all__ = ["Curve", "CurveKind", "Lengths", "Point", "blended", "coefficients", "parameters_of", "whole_state"]

Point = Mapping[str, Tensor]

# Gauss-Legendre points on each of so many pieces between two nodes: exact but for rounding where a curve is smooth, and
# to about 1e-5 where it has a cusp, at which its speed has a kink
_ORDER, _PIECES = 8, 32


@torch.no_grad()
def blended(nodes: Sequence[Point], weights: Sequence[float] | Floats) -> dict[str, Tensor]:
    """Return the weighted sum of points, tensor by tensor, added in float64 and rounded once.

    Points of weight 0 are left out (they may hold NaN); a single one of weight 1 is returned itself, not a copy.
    """
    used = [(float(weight), node) for weight, node in zip(weights, nodes, strict=True) if weight]
    (weight, first), *others = used
    if weight == 1 and not others:
        return dict(first)
    point = {}
    for name, tensor in first.items():
        total = tensor.double() * weight
        for factor, node in others:
            total.add_(node[name].double(), alpha=factor)
        point[name] = total.to(tensor.dtype)
    return point


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a network's parameters as a node of a curve: by name, detached, not copied, tied weights once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def whole_state(model: nn.Module, parameters: Point, buffers: Point | None = None) -> dict[str, Tensor]:
    """Return the state of `model` at other parameters: tied weights by each of their names, and buffers.

    Args:
        model: says what is a parameter, and which names share one.
        parameters: by the names of `named_parameters`.
        buffers: by name; those that are absent are the model's own.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    given, state = buffers or {}, {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        known = names.get(id(tensor))
        state[name] = given.get(name, tensor.detach()) if known is None else parameters[known].detach()
    return state


@dataclass(frozen=True)
class Lengths:
    """L2 distances in all parameters, tied weights counted once."""

    from_start: Floats  # (n,) straight to the first node
    from_end: Floats  # (n,) straight to the last node
    arc: Floats  # (n,) along the curve from the first node


@dataclass(frozen=True)
class Curve:
    """A curve through weight space: points that are weighted sums of its nodes, see `coefficients`.

    Attributes:
        kind: `segment`, `chain` or `bezier`.
        nodes: parameters (no buffers) by name, see `parameters_of`; the ends first and last, the bends between them.
        free_ends: whether a training moves the ends too.

    Raises:
        ValueError: fewer than two nodes, nodes of different networks or with tensors that cannot be blended, or a
            segment with bends.
    """

    kind: CurveKind
    nodes: tuple[Point, ...]
    free_ends: bool = False

    def __post_init__(self) -> None:
        """Check that the nodes fit each other."""
        if len(self.nodes) < 2:
            raise ValueError(f"nodes has {len(self.nodes)}; a curve has at least its two ends")
        require_bends(self.kind, self.bends)
        shapes = [{name: tensor.shape for name, tensor in node.items()} for node in self.nodes]
        for i, found in enumerate(shapes):
            if found != shapes[0]:
                name = next(n for n in {**shapes[0], **found} if found.get(n) != shapes[0].get(n))
                raise ValueError(f"node {i} differs from node 0 in {name!r}; a curve joins points of one network")
        for name, tensor in self.nodes[0].items():
            if not tensor.is_floating_point():
                raise ValueError(f"nodes hold {name!r} of type {tensor.dtype}; a curve blends parameters only")

    @classmethod
    def straight(
        cls, start: Point, end: Point, *, kind: CurveKind = "segment", bends: int = 0, free_ends: bool = False
    ) -> Curve:
        """Return a curve with its bends equally spaced on the segment, which is where a training begins."""
        require_bends(kind, bends)
        inner = [blended((start, end), (1 - i / (bends + 1), i / (bends + 1))) for i in range(1, bends + 1)]
        return cls(kind, (start, *inner, end), free_ends)

    @property
    def bends(self) -> int:
        """The number of nodes between the ends."""
        return len(self.nodes) - 2

    @property
    def free(self) -> tuple[int, ...]:
        """The places of the nodes that a training moves."""
        return tuple(range(len(self.nodes)) if self.free_ends else range(1, self.bends + 1))

    def require(self, model: nn.Module) -> None:
        """Refuse a network whose parameters the nodes are not.

        Raises:
            ValueError: a name or a shape differs.
        """
        shapes = {name: tensor.shape for name, tensor in model.named_parameters()}
        found = {name: tensor.shape for name, tensor in self.nodes[0].items()}
        for name in {**shapes, **found}:
            if found.get(name) != shapes.get(name):
                here, there = (tuple(x[name]) if name in x else "absent" for x in (found, shapes))
                raise ValueError(
                    f"the curve's {name!r} is {here}, the network's {there}; take nodes from `parameters_of`"
                )

    def at(self, t: float) -> dict[str, Tensor]:
        """Return the parameters at t; where only one node has a weight, that node's own tensors.

        Raises:
            ValueError: t outside [0, 1].
        """
        return blended(self.nodes, coefficients(self.kind, t, self.bends))

    @cached_property
    def gram(self) -> Floats:
        """The inner products of the nodes' differences from the first one, (bends + 1, bends + 1)."""
        products = torch.zeros(self.bends + 1, self.bends + 1, dtype=torch.float64)
        for name, tensor in self.nodes[0].items():
            origin = tensor.detach().double().reshape(-1)
            rows = torch.stack([node[name].detach().double().reshape(-1) - origin for node in self.nodes[1:]])
            products += (rows @ rows.T).cpu()
        return products.numpy()

    def _norms(self, weights: Floats) -> Floats:
        """Return the L2 norms of m sums of nodes whose weights (m, bends + 2) add up to 0."""
        squares = np.einsum("mi,ij,mj->m", weights[:, 1:], self.gram, weights[:, 1:])
        # a rounding below zero is a norm of zero
        norms: Floats = np.sqrt(np.maximum(squares, 0.0))
        return norms

    def _arc(self, t: Floats) -> Floats:
        """Return the integral of |phi'| from 0 to each t, by Gauss-Legendre quadrature between all knots."""
        knots = np.unique(np.concatenate([np.linspace(0, 1, _PIECES * (self.bends + 1) + 1), t]))
        places, shares = np.polynomial.legendre.leggauss(_ORDER)
        half = np.diff(knots) / 2
        at = (knots[:-1] + half)[:, None] + half[:, None] * places
        speeds = self._norms(node_slopes(self.kind, at.ravel(), self.bends)).reshape(at.shape)
        sums = np.concatenate([[0.0], np.cumsum(speeds @ shares * half)])
        arc: Floats = sums[np.searchsorted(knots, t)]
        return arc

    def lengths(self, t: Sequence[float] | Floats) -> Lengths:
        """Return how far the points at `t` lie from the ends, and how long the curve is up to each.

        All are computed from `gram` in float64; NaN where a node is not finite.

        Raises:
            ValueError: a t outside [0, 1].
        """
        points = np.asarray(t, dtype=np.float64)
        weights = node_weights(self.kind, points, self.bends)
        if not np.isfinite(self.gram).all():
            return Lengths(*(np.full(len(points), np.nan) for _ in range(3)))
        ends = np.eye(self.bends + 2)[[0, -1]]
        return Lengths(self._norms(weights - ends[0]), self._norms(weights - ends[1]), self._arc(points))
