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
# residuals are brought to this much of what is allowed: the same products, taken again elsewhere, round otherwise
_MARGIN = 0.9
# products are computed from rounded numbers, which the recurrence cannot see: in a dense product with float32 numbers
# about one rounding of the largest eigenvalue, and more where sums are long or in other orders
_ROUNDINGS = 4


@dataclass(frozen=True)
class Extremes:
    """The two ends of a spectrum, with their evidence; NaN where a product was not finite."""

    lambda_max: float  # algebraically largest eigenvalue
    lambda_min: float  # algebraically smallest
    residual_max: float  # |H v - lambda_max v| for the unit vector v found, rounding of products and restarts added
    residual_min: float
    products: int  # products spent on both ends
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
    product: Product,
    start: Tensor,
    *,
    tolerance: float,
    max_products: int,
    basis: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> Extremes:
    """Return the largest and the smallest eigenvalue of a symmetric matrix from one run of Lanczos.

    Thick-restart Lanczos (Wu and Simon 2000) with full, repeated orthogonalization in float64. ARPACK, as SciPy calls
    it for both ends, asks for every eigenvalue relative to itself and estimates residuals from the recurrence: next to
    a large end a small one then takes most of the products, down to the rounding of float32 ones, and what was found
    on the way is lost when it gives up. Here both ends stop by `allowed_residual`, and when the products are used up
    the best vectors so far are the answer, marked as not converged. Residuals and eigenvalues (Rayleigh quotients) are
    not those of the tridiagonal matrix: all overlaps of all products are kept, from which H v is known for every v of
    the space, so that the evidence takes no products of its own. That is the H v of the products taken: another product
    with v rounds otherwise, and is off the exact one by rounding that shows nowhere. Every residual therefore has 4
    roundings of the eigenvalue of largest size added, 5e-7 of it in float32; tolerances below that are not met.

    Args:
        product: v -> H v, float64 vectors (n,) on the device of `start`.
        start: the first vector, (n,), not zero; it must have a part along both ends, as a random one has.
        tolerance: see `allowed_residual`.
        max_products: upper bound on the products, at least 3.
        basis: vectors to keep between restarts; see `basis_size`.
        dtype: in which products are computed, whatever the type of the vectors they come in.

    Raises:
        ValueError: fewer than 3 products or 4 basis vectors, a tolerance that is not positive, a start that is zero.
    """
    if max_products < 3:
        raise ValueError(f"max_products is {max_products}; it must be at least 3, or the ends are not told apart")
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; it must be above 0")
    if basis is not None and basis < 4:
        raise ValueError(f"basis is {basis}; it must be at least 4: two vectors that stay, and two more")
    length = float(torch.linalg.vector_norm(start))
    if not (length > 0 and math.isfinite(length)):
        raise ValueError(f"the start vector has norm {length}; it must be a vector that is not zero")
    space = _Krylov(start.double() / length, basis or basis_size(len(start), max_products))
    space.rounding = _ROUNDINGS * torch.finfo(dtype).eps
    for spent in range(1, max_products + 1):
        if not space.grow(product):
            return _unknown(start, spent)
        (high, low), rests = space.ends()
        allowed = allowed_residual(high, low, tolerance), allowed_residual(low, high, tolerance)
        if space.exhausted or all(rest <= _MARGIN * most for rest, most in zip(rests, allowed, strict=True)):
            break
    converged = all(rest <= most for rest, most in zip(rests, allowed, strict=True))
    return Extremes(high, low, *rests, spent, converged, space.vectors())


def _unknown(start: Tensor, products: int) -> Extremes:
    nan = math.nan
    vectors = torch.full((2, len(start)), nan, dtype=torch.float64, device=start.device)
    return Extremes(nan, nan, nan, nan, products, False, vectors)


class _Krylov:
    """An orthonormal basis V of a Krylov space, and what H does to it: H V = V table + next tail'."""

    def __init__(self, start: Tensor, size: int) -> None:
        self._space = torch.empty(size, len(start), dtype=torch.float64, device=start.device)
        self._table = np.zeros((size, size))
        self._tail: Floats = np.zeros(0)
        self._count = 0
        self._next = start
        self.rounding = 0.0  # of products, relative to the largest eigenvalue
        self._lost = 0.0  # bound of what restarts have left out of the equation: products are symmetric up to rounding
        self._values: Floats = np.zeros(0)
        self._shapes: Floats = np.zeros((0, 0))  # columns: Ritz vectors in the basis

    def grow(self, product: Product) -> bool:
        """Add a vector, after a restart where there is no room; False if its product is not finite."""
        if self._count == len(self._space):
            self._restart()
        k = self._count = self._count + 1
        self._space[k - 1] = self._next
        self._table[k - 1, : k - 1] = self._tail
        rest = product(self._next)
        if not bool(torch.isfinite(rest).all()):
            return False
        rest, overlaps = self._orthogonal(rest, k)
        self._table[:k, k - 1] = overlaps.cpu().numpy()
        self._values, self._shapes = np.linalg.eigh(self._table[:k, :k], UPLO="U")
        length = float(torch.linalg.vector_norm(rest))
        self._tail = np.zeros(k)
        self._tail[-1] = length
        self._next = rest / length if length > 0 else rest
        return True

    def _orthogonal(self, image: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return what is left of a vector's image beside the first k vectors, and its overlaps with them.

        Those with the vectors before are known by symmetry, up to rounding: most are zero. What they leave is small
        along all vectors, so that one pass over them does what takes two without that knowledge.
        """
        vectors = self._space[:k]
        overlaps = torch.zeros(k, dtype=torch.float64, device=image.device)
        first = int(np.flatnonzero(self._tail).min(initial=k - 1))
        overlaps[first : k - 1] = torch.from_numpy(self._tail[first:])
        rest = image - overlaps[first : k - 1] @ vectors[first : k - 1]
        overlaps[k - 1] = vectors[k - 1] @ rest
        rest -= overlaps[k - 1] * vectors[k - 1]
        parts = vectors @ rest
        rest -= parts @ vectors
        return rest, overlaps + parts

    def _restart(self) -> None:
        """Keep the Ritz vectors of a quarter of the values at each end."""
        k = max(len(self._space) // 4, 1)
        shapes = self._shapes[:, [*range(k), *range(len(self._space) - k, len(self._space))]]
        self._space[: 2 * k] = self._combined(shapes)
        images = self._table @ shapes
        table = shapes.T @ images
        self._lost += float(np.linalg.norm(images - shapes @ table, 2))
        self._tail = self._tail @ shapes
        self._table[:] = 0.0
        self._table[: 2 * k, : 2 * k] = table
        self._count = 2 * k

    def _combined(self, shapes: Floats) -> Tensor:
        """Return the vectors that are columns of `shapes` in the basis, one a row."""
        return torch.from_numpy(shapes.T.copy()).to(self._space.device) @ self._space[: self._count]

    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the Rayleigh quotients of the largest and the smallest Ritz vector, and bounds of their residuals."""
        k = self._count
        shapes = self._shapes[:, [-1, 0]]
        images = self._table[:k, :k] @ shapes
        quotients = (shapes * images).sum(0)
        inside, outside = np.linalg.norm(images - quotients * shapes, axis=0), self._tail @ shapes
        # not relative to each quotient: the products with a small end's vector are sums of large numbers too
        unseen = self._lost + self.rounding * float(np.abs(quotients).max())
        high, low = np.hypot(inside, outside) + unseen
        return (float(quotients[0]), float(quotients[1])), (float(high), float(low))

    @property
    def exhausted(self) -> bool:
        """Whether the space maps into itself."""
        scale = float(np.abs(self._values).max())
        return self._count == self._space.shape[1] or self._tail[-1] <= 16 * torch.finfo(torch.float64).eps * scale

    def vectors(self) -> Tensor:
        """Return the unit Ritz vectors of the largest and the smallest value, (2, n)."""
        found = self._combined(self._shapes[:, [-1, 0]])
        lengths: Tensor = torch.linalg.vector_norm(found, dim=1, keepdim=True)
        return found / lengths
