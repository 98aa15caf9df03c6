"""A surface over a plane as points and quadrilaterals, with every quantity at its points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lossatlas.results import Floats, HessianMap, Integers, Plane

Surface = Plane | HessianMap
Scale = float | Literal["fit"]

# "fit" makes the heights span this much of the longer side
_FITTED = 0.5


@dataclass(frozen=True)
class Mesh:
    """Points over the grid of a plane; the first axis of the grid is x, and normals point up.

    Attributes:
        points: (n, 3) x and y in multiples of the directions, and the height.
        cells: (m, 4) corners of each quadrilateral, counter-clockwise seen from above.
        values: quantities at the points, (n,) each, in the units of `lossatlas.results.UNITS`; `log10_` before a name
            is its decimal logarithm.
        value: the quantity that the height shows.
    """

    points: Floats
    cells: Integers
    values: Mapping[str, Floats]
    value: str

    @property
    def triangles(self) -> Integers:
        """Return each quadrilateral as two triangles, (2 m, 3)."""
        return self.cells[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def quantities(result: Surface) -> dict[str, Floats]:
    """Return every quantity on the grid that has a value somewhere, (nx, ny) each.

    Losses and the ratio |lambda_min / lambda_max| of a Hessian map also come as decimal logarithms.
    """
    names = [name for name, dims in result.DIMS.items() if dims == ("x", "y") and name != "computed"]
    found = {name: np.asarray(getattr(result, name), dtype=np.float64) for name in names}
    if isinstance(result, HessianMap):
        with np.errstate(divide="ignore", invalid="ignore"):
            found["ratio"] = np.abs(found["lambda_min"] / found["lambda_max"])
    found = {name: values for name, values in found.items() if np.isfinite(values).any()}
    logs = {f"log10_{name}": log10(found[name]) for name in ("train_loss", "test_loss", "ratio") if name in found}
    return found | logs


def log10(values: Floats) -> Floats:
    """Return decimal logarithms: NaN stays, infinite too, and zeros lie at the lowest positive value.

    Raises:
        ValueError: a value is negative.
    """
    if (values < 0).any():
        raise ValueError(f"heights go down to {np.nanmin(values):g}, which has no logarithm; leave `log` out")
    positive = values[values > 0]
    lowest = float(positive.min()) if positive.size else 1.0
    return np.log10(np.maximum(values, lowest))  # a NaN passes through `maximum`


def surface_mesh(
    result: Surface,
    *,
    value: str | None = None,
    log: bool = False,
    cap: float | None = None,
    scale: Scale = 1.0,
) -> Mesh:
    """Return the surface of one quantity over a plane.

    Points without a finite height are left out, and so is every quadrilateral that has one as a corner: a hole.

    Args:
        result: a plane of losses, sampled or not, or a Hessian map.
        value: the quantity that the height shows: `train_loss`, or `ratio` of a Hessian map.
        log: show its decimal logarithm; zeros lie at the lowest positive value.
        cap: larger heights are cut off here, in the quantity's own unit (before `log`). The values stay.
        scale: factor of the heights; `fit` makes them span half of the longer side of the plane.

    Raises:
        ValueError: an unknown quantity, a grid of fewer than 2 x 2 points, no quadrilateral, or an impossible option.
    """
    x, y, found = _ordered(result)
    name = value or ("ratio" if isinstance(result, HessianMap) else "train_loss")
    if name not in found:
        raise ValueError(f"value = {name!r} is not there or has no finite number; allowed: {', '.join(found)}")
    if min(len(x), len(y)) < 2:
        raise ValueError(f"the plane has {len(x)} x {len(y)} points; a surface needs at least 2 along both axes")
    heights = found[name] if cap is None else np.minimum(found[name], cap)
    heights = log10(heights) if log else heights
    there = np.isfinite(heights)
    cells = _cells(there)
    if not len(cells):
        raise ValueError(f"no four neighbouring points of {name} are finite; there is no surface to write")
    heights = heights * _factor(scale, heights[there], max(np.ptp(x), np.ptp(y)))
    xs, ys = np.meshgrid(x, y, indexing="ij")  # all (nx, ny)
    points = np.stack([xs[there], ys[there], heights[there]], axis=-1)
    return Mesh(points, cells, {key: values[there] for key, values in found.items()}, f"log10_{name}" if log else name)


def _ordered(result: Surface) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Return axes that increase, and the quantities on them; else normals would point down."""
    rows, columns = np.argsort(result.x), np.argsort(result.y)
    found = {name: values[np.ix_(rows, columns)] for name, values in quantities(result).items()}
    return result.x[rows], result.y[columns], found


def _cells(there: npt.NDArray[np.bool_]) -> Integers:
    """Return the corners of each cell of the grid whose four points are there, (m, 4)."""
    numbers = np.cumsum(there.ravel()).reshape(there.shape) - 1
    whole = there[:-1, :-1] & there[1:, :-1] & there[1:, 1:] & there[:-1, 1:]
    corners = (numbers[:-1, :-1], numbers[1:, :-1], numbers[1:, 1:], numbers[:-1, 1:])
    return np.stack([corner[whole] for corner in corners], axis=-1).astype(np.int64)


def _factor(scale: Scale, heights: Floats, side: float) -> float:
    if scale == "fit":
        span = float(np.ptp(heights))
        return _FITTED * side / span if span > 0 else 1.0
    if not (isinstance(scale, int | float) and 0 < scale < np.inf):
        raise ValueError(f"scale = {scale!r} is impossible; allowed: a positive number, or 'fit'")
    return float(scale)
