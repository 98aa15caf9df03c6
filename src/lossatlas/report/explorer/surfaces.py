"""The values of one plane as the explorer draws them: quantities, their errors, and the map of eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossatlas.report.explorer.packing import Packed, pack
from lossatlas.report.figures.scale import error
from lossatlas.results import HessianMap, Plane, SampledPlane

QUANTITIES = ("train_loss", "test_loss", "train_error", "test_error")


def quantities(plane: Plane) -> dict[str, dict[str, Packed]]:
    """Return per quantity its values (ny, nx), and of estimates their standard errors and numbers of images.

    Losses are in nats per example, errors in percent. A quantity without one finite value is left out.
    """
    found = {}
    for name in QUANTITIES:
        source, _, kind = name.partition("_")
        values = getattr(plane, name) if kind == "loss" else 100 * error(getattr(plane, f"{source}_accuracy"))
        if not np.isfinite(values).any():
            continue
        found[name] = {"values": pack(values.T)}
        if isinstance(plane, SampledPlane):
            spread = getattr(plane, f"{source}_{'loss' if kind == 'loss' else 'accuracy'}_se")
            found[name]["se"] = pack((spread if kind == "loss" else 100 * spread).T)
            found[name]["n"] = pack(getattr(plane, f"{source}_n").T)
    return found


def eigenvalues(found: HessianMap) -> dict[str, Any]:
    """Return both ends of the spectrum with their residuals, one entry per point of the map, in flat lists.

    Points that were not computed are NaN; `converged` is 1 where both ends are within the tolerance.
    """
    xs, ys = np.meshgrid(found.x, found.y, indexing="ij")
    columns: dict[str, Any] = {"x": xs, "y": ys, "max": found.lambda_max, "min": found.lambda_min}
    columns |= {"max_residual": found.residual_max, "min_residual": found.residual_min, "converged": found.converged}
    return {name: pack(values.ravel()) for name, values in columns.items()}
