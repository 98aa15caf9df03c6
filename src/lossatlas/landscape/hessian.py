"""Both ends of the Hessian's spectrum, at a point and on a plane (Li et al. 2018, section 6 and Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Data
from lossatlas.landscape.curvature import HessianOperator, Weights
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.lanczos import Extremes, both_ends
from lossatlas.landscape.points import walk_points
from lossatlas.randomness import generator
from lossatlas.results import HessianMap

_FLOATS = ("lambda_max", "lambda_min", "residual_max", "residual_min")
_NAMES = (*_FLOATS, "products", "converged")


def start_vector(n: int, *, seed: int = 0) -> Tensor:
    """Return the Gaussian vector (n,) that Lanczos starts from, the same for every point."""
    return torch.randn(n, generator=generator(seed, "lanczos"), dtype=torch.float64)


def extremes(operator: HessianOperator, *, tolerance: float = 1e-3, max_products: int = 300, seed: int = 0) -> Extremes:
    """Return lambda_max and lambda_min of the mean loss's Hessian at the operator's present point.

    Args:
        operator: the network's Hessian, at the point.
        tolerance: of the residuals, see `lanczos.allowed_residual`.
        max_products: upper bound on the Hessian-vector products for both ends, at least 3.
        seed: of the start vector.

    Returns:
        Eigenvalues in nats per example and squared unit of weight; NaN where the loss or its derivatives overflow.

    Raises:
        ValueError: impossible `tolerance` or `max_products`.
    """

    def product(vector: Tensor) -> Tensor:
        # a loss that overflows can have derivatives that do not
        return operator.product(vector) if finite else torch.full_like(vector, math.nan)

    finite = math.isfinite(operator.measure("train").loss)
    start = start_vector(operator.size, seed=seed)
    return both_ends(product, start, tolerance=tolerance, max_products=max_products)


def hessian_map(
    model: nn.Module,
    train: Data,
    *,
    directions: tuple[Direction, Direction],
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-3,
    max_products: int = 300,
    weights: Weights = "matrices",
    seed: int = 0,
    journal: Path | str | None = None,
    label: str = "hessian",
) -> HessianMap:
    """Map lambda_max and lambda_min over a plane, `theta + x d_x + y d_y`.

    Fig. 7 of the paper shows |lambda_min / lambda_max|: the strongest negative curvature beside the strongest positive
    one. Where it is small, the loss is nearly convex in every direction, not only in those of the plane.

    Args:
        model: a classifier that returns logits; it is left untouched.
        train: normalized inputs (n, ...) and integer labels (n,).
        directions: the two axes.
        x: coordinates along the first axis, (nx,).
        y: coordinates along the second, (ny,).
        batch_size: examples per pass; fastest if one batch holds all.
        device: where to compute.
        tolerance: of the residuals, see `lanczos.allowed_residual`.
        max_products: upper bound on the Hessian-vector products at a point, at least 3.
        weights: which parameters the Hessian is over, see `HessianOperator`.
        seed: of the vector that Lanczos starts from at every point.
        journal: a file that keeps finished points, so that a killed map goes on.
        label: of the progress bar.

    Raises:
        ValueError: impossible coordinates or data, directions of other weights, a network that is not deterministic.
    """
    xs, ys = (np.asarray(axis, dtype=np.float64) for axis in (x, y))
    operator = HessianOperator(model, train, batch_size=batch_size, device=device, weights=weights)
    options = {"tolerance": tolerance, "max_products": max_products, "seed": seed}

    def ends(point: Mapping[str, Tensor]) -> dict[str, float]:
        operator.load(point)
        found = extremes(operator, tolerance=tolerance, max_products=max_products, seed=seed)
        return {name: float(getattr(found, name)) for name in _NAMES}

    points = walk_points(
        model,
        {"train": train},
        directions,
        np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2),
        ends,
        names=_NAMES,
        finite=_FLOATS,
        settings={**options, "weights": weights, "batch_size": batch_size},
        device=operator.device,
        journal=journal,
        label=label,
        what="a loss or a curvature that overflows",
    )
    shape = (len(xs), len(ys))
    found: dict[str, Any] = {name: points.values[name].reshape(shape) for name in _FLOATS}
    return HessianMap(
        x=xs,
        y=ys,
        **found,
        products=points.values["products"].astype(np.int64).reshape(shape),
        converged=points.values["converged"].astype(bool).reshape(shape),
        computed=points.computed.reshape(shape),
        note=points.note,
        provenance={
            "directions": [axis.description() for axis in directions],
            "examples": len(train[1]),
            "parameters": operator.size,
            "weights": weights,
            **options,
        },
    )
