"""Both ends of the Hessian's spectrum, at a point and on a plane (Li et al. 2018, section 6 and Fig. 7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.engine.batches import AnyData
from lossatlas.engine.general import examples, general, settled
from lossatlas.engine.objective import Criterion, Objective
from lossatlas.landscape.chains import Chained, row_chains
from lossatlas.landscape.curvature import HessianOperator, Weights, hessian_shapes
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.general_curvature import GeneralHessian, hessian_operator
from lossatlas.landscape.lanczos import Extremes, both_ends
from lossatlas.landscape.points import AtPlace, Displacements, walk
from lossatlas.randomness import generator
from lossatlas.results import Floats, HessianMap

_FLOATS = ("lambda_max", "lambda_min", "residual_max", "residual_min")
_NAMES = (*_FLOATS, "products", "converged")


def start_vector(n: int, *, seed: int = 0) -> Tensor:
    """Return the Gaussian vector (n,) that Lanczos starts from where nothing is known, the same for every point."""
    return torch.randn(n, generator=generator(seed, "lanczos"), dtype=torch.float64)


def next_start(start: Tensor, before: Extremes | None) -> Tensor:
    """Return what Lanczos starts from beside a point whose ends are known: the sum of their vectors and `start`.

    All three count alike. The random part, more than half as strong as alone, finds an end that has turned away
    from the neighbour's; leaving it out saves no products.
    """
    if before is None or not bool(before.vectors.isfinite().all()):
        return start
    length: Tensor = torch.linalg.vector_norm(start)
    return before.vectors.sum(0) + start / length


def extremes(
    operator: HessianOperator | GeneralHessian,
    *,
    tolerance: float = 1e-3,
    max_products: int = 300,
    seed: int = 0,
    before: Extremes | None = None,
) -> Extremes:
    """Return lambda_max and lambda_min of the mean loss's Hessian at the operator's present point.

    Args:
        operator: the network's Hessian, at the point.
        tolerance: of the residuals, see `lanczos.allowed_residual`.
        max_products: upper bound on the Hessian-vector products for both ends, at least 3.
        seed: of the start vector.
        before: what was found at a point nearby, to start from.

    Returns:
        Eigenvalues in nats per example and squared unit of weight; NaN where the loss or its derivatives overflow.

    Raises:
        ValueError: impossible `tolerance` or `max_products`.
    """

    def product(vector: Tensor) -> Tensor:
        # a loss that overflows can have derivatives that do not
        return operator.product(vector) if finite else torch.full_like(vector, math.nan)

    finite = math.isfinite(operator.measure("train").loss)
    start = start_vector(operator.size, seed=seed).to(operator.device)
    first = next_start(start, before)
    return both_ends(product, first, tolerance=tolerance, max_products=max_products, dtype=operator.dtype)


def _ends(
    model: nn.Module,
    train: Any,
    directions: Sequence[Direction],
    grid: Floats,
    chains: Sequence[Sequence[int]],
    place: Mapping[str, Any],
    options: Mapping[str, Any],
) -> AtPlace:
    """Return what takes the ends of the spectrum at the rows of a grid, in chains."""
    operator = hessian_operator(model, train, **place)
    points = Displacements(model, directions, grid, operator.device)

    def ends(i: int, before: Extremes | None) -> tuple[dict[str, float], Extremes]:
        operator.load(points[i])
        found = extremes(operator, **options, before=before)
        return {name: float(getattr(found, name)) for name in _NAMES}, found

    return Chained(chains, ends)


def hessian_map(
    model: nn.Module,
    train: AnyData,
    *,
    directions: tuple[Direction, Direction],
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    batch_size: int = 128,
    loss: Criterion | None = None,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-3,
    max_products: int = 300,
    weights: Weights = "matrices",
    seed: int = 0,
    journal: Path | str | None = None,
    label: str = "hessian",
    executor: Executor | None = None,
) -> HessianMap:
    """Map lambda_max and lambda_min over a plane, `theta + x d_x + y d_y`.

    Fig. 7 of the paper shows |lambda_min / lambda_max|: the strongest negative curvature beside the strongest positive
    one. Where it is small, the loss is nearly convex in every direction, not only in those of the plane.

    Points lie in chains of up to 8 along the rows of the grid. At the first, Lanczos starts from a random vector, at
    the others from what the point before found: with steps of 0.2 or less this saves a sixth to a quarter of the
    products, with 0.5 none. A map that was killed does again what its unfinished chain had done.

    Args:
        model: any network; it is left untouched.
        train: the data, see `plane`.
        directions: the two axes.
        x: coordinates along the first axis, (nx,).
        y: coordinates along the second, (ny,).
        batch_size: examples per pass; fastest if one batch holds all.
        loss: see `plane`.
        device: where to compute.
        tolerance: of the residuals, see `lanczos.allowed_residual`.
        max_products: upper bound on the Hessian-vector products at a point, at least 3.
        weights: which parameters the Hessian is over, see `HessianOperator`.
        seed: of the random vector that Lanczos starts from.
        journal: a file that keeps finished points, so that a killed map goes on.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.

    Raises:
        ValueError: impossible coordinates or data, directions of other weights, a network that is not deterministic.
    """
    xs, ys = (np.asarray(axis, dtype=np.float64) for axis in (x, y))
    place: dict[str, Any] = {"batch_size": batch_size, "device": torch.device(device), "weights": weights}
    splits = settled(model, {"train": train}, batch_size=batch_size, loss=loss)
    own = Objective(loss).identity() if journal and general(splits, loss=loss, accuracy=None) else {}
    options = {"tolerance": tolerance, "max_products": max_products, "seed": seed}
    shape = (len(xs), len(ys))
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    chains = row_chains(*shape)
    points = Displacements(model, directions, grid, place["device"])
    values, computed = walk(
        partial(_ends, model, splits["train"], directions, grid, chains, {**place, "loss": loss}, options),
        len(grid),
        names=_NAMES,
        identity=lambda: points.identity(
            splits, {**options, "weights": weights, "batch_size": batch_size, "chains": chains, **own}
        ),
        journal=journal,
        label=label,
        executor=executor,
        groups=chains,
    )
    found: dict[str, Any] = {name: values[name].reshape(shape) for name in _FLOATS}
    return HessianMap(
        x=xs,
        y=ys,
        **found,
        products=values["products"].astype(np.int64).reshape(shape),
        converged=values["converged"].astype(bool).reshape(shape),
        computed=computed.reshape(shape),
        note=points.explain([values[name] for name in _FLOATS], "a loss or a curvature that overflows"),
        provenance={
            "directions": [axis.description() for axis in directions],
            "examples": examples(splits["train"]),
            "parameters": sum(math.prod(shape) for shape in hessian_shapes(model, weights).values()),
            "weights": weights,
            **options,
        },
    )
