"""Both ends of the spectrum of a symmetric matrix that is known by its products, from one Krylov space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lossatlas.results import Floats

Product = Callable[[Tensor], Tensor]

# an end smaller than this much of the other need only be known to within the tolerance of this much of the other
SMALL_END = 1e-2
# bytes of basis vectors, as far as 24 of them fit
_MEMORY, _FEWEST = 2**30, 24
# the first Ritz estimates that are within this much of what is asked for: rounding adds to the residuals proper
_MARGIN = 0.5


@dataclass(frozen=True)
class Extremes:
    """The two ends of a spectrum, with their evidence; NaN where a product was not finite."""

    lambda_max: float  # algebraically largest eigenvalue
    lambda_min: float  # algebraically smallest
    residual_max: float  # |H v - lambda_max v| for the unit vector v found, by a product of its own
    residual_min: float
    products: int  # products spent on both ends, those of the residuals included
    converged: bool  # both residuals within `allowed_residual`
    vectors: Tensor  # (2, n) the unit vectors of lambda_max and lambda_min


def allowed_residual(value: float, other: float, tolerance: float) -> float:
    """Return the residual up to which the end `value` counts as converged, beside the end `other`.

    It is `tolerance` times the end's own size, or times a hundredth of the other end's where that is more: a small end
    next to a large one is not resolved further than their ratio needs. As the matrix is symmetric, some eigenvalue
    lies within the residual; the error of an isolated one is about the residual's square over the distance to the next.
    """
    return tolerance * max(abs(value), SMALL_END * abs(other))


def basis_size(n: int, max_products: int) -> int:
    """Return how many basis vectors of length `n` are kept: as many as products, at most 1 GiB, at least 24."""
    return min(max_products, n, max(_MEMORY // (8 * n), _FEWEST))


def both_ends(
    product: Product, start: Tensor, *, tolerance: float, max_products: int, basis: int | None = None
) -> Extremes:
    """Return the largest and the smallest eigenvalue of a symmetric matrix from one run of Lanczos.

    Thick-restart Lanczos (Wu and Simon 2000) with full, repeated orthogonalization in float64. ARPACK, as SciPy calls
    it for both ends, asks for every eigenvalue relative to itself and estimates residuals from the recurrence: next to
    a large end a small one then takes most of the products, down to the rounding of float32 ones, and what was found
    on the way is lost when it gives up. Here both ends stop by `allowed_residual`, residuals come from products of
    their own, and when the products are used up the best vectors so far are the answer, marked as not converged.

    Args:
        product: v -> H v, float64 vectors (n,) on the CPU.
        start: the first vector, (n,), not zero; it must have a part along both ends, as a random one has.
        tolerance: see `allowed_residual`.
        max_products: upper bound on the products, at least 3.
        basis: vectors to keep between restarts; see `basis_size`.

    Raises:
        ValueError: fewer than 3 products or 4 basis vectors, a tolerance that is not positive, a start that is zero.
    """
    if max_products < 3:
        raise ValueError(f"max_products is {max_products}; it must be at least 3: a step, and a residual at each end")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; it must be above 0")
    if basis is not None and basis < 4:
        raise ValueError(f"basis is {basis}; it must be at least 4: two vectors that stay, and two more")
    length = float(torch.linalg.vector_norm(start))
    if not (length > 0 and math.isfinite(length)):
        raise ValueError(f"the start vector has norm {length}; it must be a vector that is not zero")
    space = _Krylov(start.double() / length, basis or basis_size(len(start), max_products))
    spent = 0
    while spent + 2 < max_products:
        spent += 1
        if not space.grow(product):
            return _unknown(len(start), spent)
        high, low = space.ends
        estimates, allowed = space.estimates, _allowed(high, low, tolerance)
        if space.exhausted or all(e <= _MARGIN * a for e, a in zip(estimates, allowed, strict=True)):
            break
    return _measured(product, space.vectors(), spent + 2, tolerance)


def _allowed(high: float, low: float, tolerance: float) -> tuple[float, float]:
    return allowed_residual(high, low, tolerance), allowed_residual(low, high, tolerance)


def _unknown(n: int, products: int) -> Extremes:
    nan = math.nan
    return Extremes(nan, nan, nan, nan, products, False, torch.full((2, n), nan, dtype=torch.float64))


def _measured(product: Product, vectors: Tensor, products: int, tolerance: float) -> Extremes:
    """Return the Rayleigh quotients and residuals of two unit vectors, by a product each."""
    images = torch.stack([product(vector) for vector in vectors])
    if not bool(torch.isfinite(images).all()):
        return _unknown(vectors.shape[1], products)
    quotients = (vectors * images).sum(1)
    rests = torch.linalg.vector_norm(images - quotients[:, None] * vectors, dim=1)
    (high, low), (rest_high, rest_low) = quotients.tolist(), rests.tolist()
    allowed_high, allowed_low = _allowed(high, low, tolerance)
    converged = rest_high <= allowed_high and rest_low <= allowed_low
    return Extremes(high, low, rest_high, rest_low, products, converged, vectors)


class _Krylov:
    """An orthonormal basis of a Krylov space, and the matrix in it."""

    def __init__(self, start: Tensor, size: int) -> None:
        self._space = torch.empty(size, len(start), dtype=torch.float64)
        self._table = np.zeros((size, size))  # upper triangle of V' H V
        self._count = 0
        self._next, self._rest = start, 1.0
        self._values: Floats = np.zeros(0)
        self._shapes: Floats = np.zeros((0, 0))  # columns: Ritz vectors in the basis

    def grow(self, product: Product) -> bool:
        """Add a vector, after a restart where there is no room; False if its product is not finite."""
        if self._count == len(self._space):
            self._restart()
        k = self._count = self._count + 1
        self._space[k - 1] = self._next
        rest = product(self._next)
        if not bool(torch.isfinite(rest).all()):
            return False
        vectors, overlaps = self._space[:k], torch.zeros(k, dtype=torch.float64)
        for _ in range(2):  # the second time removes what the first left by rounding
            parts = vectors @ rest
            rest = rest - parts @ vectors
            overlaps += parts
        self._table[:k, k - 1] = overlaps.numpy()
        self._values, self._shapes = np.linalg.eigh(self._table[:k, :k], UPLO="U")
        self._rest = float(torch.linalg.vector_norm(rest))
        self._next = rest / self._rest if self._rest > 0 else rest
        return True

    def _restart(self) -> None:
        """Keep the Ritz vectors of a quarter of the values at each end."""
        k = max(len(self._space) // 4, 1)
        kept = [*range(k), *range(len(self._space) - k, len(self._space))]
        self._space[: 2 * k] = torch.from_numpy(self._shapes[:, kept].T.copy()) @ self._space
        self._table[:] = 0.0
        self._table[range(2 * k), range(2 * k)] = self._values[kept]
        self._count = 2 * k

    @property
    def ends(self) -> tuple[float, float]:
        """The largest and the smallest Ritz value."""
        return float(self._values[-1]), float(self._values[0])

    @property
    def estimates(self) -> tuple[float, float]:
        """The residuals of the two ends, up to rounding."""
        return self._rest * abs(float(self._shapes[-1, -1])), self._rest * abs(float(self._shapes[-1, 0]))

    @property
    def exhausted(self) -> bool:
        """Whether the space maps into itself."""
        scale = max(map(abs, self.ends))
        return self._count == self._space.shape[1] or self._rest <= 16 * torch.finfo(torch.float64).eps * scale

    def vectors(self) -> Tensor:
        """Return the unit Ritz vectors of the largest and the smallest value, (2, n)."""
        found = torch.from_numpy(self._shapes[:, [-1, 0]].T.copy()) @ self._space[: self._count]
        lengths: Tensor = torch.linalg.vector_norm(found, dim=1, keepdim=True)
        return found / lengths
