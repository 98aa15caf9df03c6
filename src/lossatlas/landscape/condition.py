"""Condition numbers at a minimizer: of a two-dimensional slice, and a lower bound for the full Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lossatlas.results import Floats

Product = Callable[[Tensor], Tensor]

# a subspace is invariant, and eigenvalues are zero, below this many roundings of the largest value
_ROUNDINGS = 16


@dataclass(frozen=True)
class SliceCondition:
    """Principal curvatures of a slice, and their ratio."""

    eigenvalues: tuple[float, float]  # ascending, nats per example and squared unit of weight
    condition: float | None  # max|.| / min|.|, also where they differ in sign; None where one is zero to rounding
    rounding: float  # asymmetry of the projected matrix: what the products' rounding leaves


@dataclass(frozen=True)
class KrylovBound:
    """What a few steps of Lanczos say about a symmetric matrix H."""

    lambda_max: float  # largest Ritz value: not above the largest eigenvalue
    lambda_min: float  # smallest Ritz value: not below the smallest eigenvalue
    residual_max: float  # |H v - lambda_max v| of the unit Ritz vector
    residual_min: float
    smallest_norm: float  # min |H q| over unit vectors q of the Krylov space: not below min |lambda|
    rounding: float  # asymmetry of the projected matrix: what the products' rounding leaves
    condition: float | None  # max |Ritz value| / (smallest_norm + rounding), a lower bound; None for a zero matrix
    steps: int


def slice_condition(product: Product, first: Tensor, second: Tensor) -> SliceCondition:
    """Return the principal curvatures of the slice spanned by two directions.

    With B_ij = d_i' H d_j and the metric G_ij = d_i' d_j they solve B v = lambda G v: curvatures per unit of length in
    weight space, whatever the lengths of the directions and the angle between them.

    Args:
        product: v -> H v, both (n,).
        first: d_1, (n,).
        second: d_2, (n,).

    Raises:
        ValueError: the directions are zero or parallel.
    """
    axes = torch.stack([first, second]).double()
    images = torch.stack([product(first), product(second)]).double()
    metric, form = ((axes @ other.T).cpu().numpy() for other in (axes, images))
    lengths = np.sqrt(np.diagonal(metric))
    if not lengths.all() or abs(metric[0, 1]) > (1 - 1e-10) * lengths.prod():
        raise ValueError("the two directions are zero or parallel and span no plane; draw others")
    inverse = np.linalg.inv(np.linalg.cholesky(metric))
    square = inverse @ form @ inverse.T
    low, high = (float(value) for value in np.linalg.eigvalsh((square + square.T) / 2))
    largest, smallest = max(abs(low), abs(high)), min(abs(low), abs(high))
    rounding = max(float(np.linalg.norm(square - square.T, 2)), _ROUNDINGS * torch.finfo(first.dtype).eps * largest)
    return SliceCondition((low, high), largest / smallest if smallest > rounding else None, rounding)


def krylov_bound(product: Product, start: Tensor, *, steps: int) -> KrylovBound:
    """Bound the condition number of a symmetric matrix H from below, by `steps` products.

    Lanczos with full reorthogonalization gives an orthonormal basis Q of the Krylov space of `start` with
    H Q = Q+ T, where Q+ has one vector more and T is (steps + 1, steps). For a unit vector q = Q y, |H q| = |T y|:
    min |lambda| <= min |H q| = the smallest singular value of T, and max |lambda| >= every |Ritz value|. So

        condition number >= max |Ritz value| / smallest singular value of T,

    with equality where the Krylov space is the whole space. The products' rounding is added to the denominator.

    Args:
        product: v -> H v, both (n,).
        start: the first vector, (n,), not zero.
        steps: how many products, at least 1; fewer are taken where the Krylov space is exhausted.

    Raises:
        ValueError: no steps, a start that is zero, or products that are not finite.
    """
    if steps < 1 or not float(torch.linalg.vector_norm(start)) > 0:
        raise ValueError(f"steps = {steps} from a start of norm {float(start.norm())}; both must be above 0")
    table = _lanczos(product, start, min(steps, len(start)))
    k = table.shape[1]
    square = table[:k]
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    residuals = [
        float(np.linalg.norm(table @ v - np.pad(v * x, (0, 1)))) for x, v in zip(values, vectors.T, strict=True)
    ]
    largest = float(np.abs(values).max())
    smallest = float(np.linalg.svd(table, compute_uv=False)[-1])
    rounding = float(np.linalg.norm(square - square.T, 2))
    below = smallest + rounding
    return KrylovBound(
        lambda_max=float(values[-1]),
        lambda_min=float(values[0]),
        residual_max=residuals[-1],
        residual_min=residuals[0],
        smallest_norm=smallest,
        rounding=rounding,
        condition=largest / below if below > 0 and math.isfinite(largest / below) else None,
        steps=k,
    )


def _lanczos(product: Product, start: Tensor, steps: int) -> Floats:
    """Return T with H Q = Q+ T, (k + 1, k) with k <= steps; every new vector is made orthogonal to all, twice."""
    basis = torch.zeros(steps + 1, len(start), dtype=start.dtype, device=start.device)
    basis[0] = start / torch.linalg.vector_norm(start)
    table = np.zeros((steps + 1, steps))
    for j in range(steps):
        image = product(basis[j])
        length = float(torch.linalg.vector_norm(image))
        if not math.isfinite(length):
            raise ValueError(f"product {j + 1} of {steps} is not finite; the loss has no curvature at this point")
        for _ in range(2):
            overlaps = basis[: j + 1] @ image
            image = image - overlaps @ basis[: j + 1]
            table[: j + 1, j] += overlaps.double().cpu().numpy()
        rest = float(torch.linalg.vector_norm(image))
        scale = max(length, float(np.abs(table).max()))
        if rest <= _ROUNDINGS * torch.finfo(start.dtype).eps * scale:  # the space maps into itself
            return table[: j + 2, : j + 1]
        table[j + 1, j] = rest
        basis[j + 1] = image / rest
    return table
