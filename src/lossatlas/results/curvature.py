"""Eigenvalues of the Hessian of the mean loss, and curvatures of slices through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lossatlas.results.storage import Floats, Integers, Mask, Stored


@dataclass(frozen=True)
class HessianMap(Stored):
    """Both ends of the Hessian's spectrum on a grid spanned by two directions from a checkpoint."""

    KIND: ClassVar[str] = "hessian"
    AXES: ClassVar[tuple[str, ...]] = ("x", "y")
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
        ("lambda_max", "lambda_min", "residual_max", "residual_min", "products", "converged", "computed"), ("x", "y")
    )

    x: Floats  # (nx,)
    y: Floats  # (ny,)
    lambda_max: Floats  # (nx, ny) largest (most positive) eigenvalue
    lambda_min: Floats  # (nx, ny) smallest (most negative) eigenvalue
    residual_max: Floats  # (nx, ny) |H v - lambda_max v| for the unit vector found
    residual_min: Floats  # (nx, ny)
    products: Integers  # (nx, ny) Hessian-vector products spent on both ends together
    converged: Mask  # (nx, ny) both ends within the tolerance
    computed: Mask  # (nx, ny)
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceCurvatures(Stored):
    """Curvatures of random two-dimensional slices of a small network beside its full spectrum (section 6)."""

    KIND: ClassVar[str] = "slices"
    AXES: ClassVar[tuple[str, ...]] = ("eigenvalue",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(("measured", "weighted"), ("direction",)),
        **dict.fromkeys(("slice_min", "slice_max"), ("slice",)),
    }

    eigenvalue: Floats  # (n,) ascending, of the full dense Hessian
    measured: Floats  # (k,) d'Hd / d'd along random Gaussian directions, from Hessian-vector products
    weighted: Floats  # (k,) the same as averages of the eigenvalues with chi-square weights, drawn independently
    slice_min: Floats  # (m,) smaller principal curvature of a random two-dimensional slice
    slice_max: Floats  # (m,) larger one
    note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
