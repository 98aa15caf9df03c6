"""The numbers for "flatter" that a profile and a plane give of a minimizer.

Comparable between runs whose profiles and planes have the same points and normalization (Li et al. 2018, section 4:
filter). What is not known is NaN, with the reason; what is not reached within the range is `inf`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossatlas.results import Plane, Profile
from lossatlas.shape.convexity import convex_radius, convex_share, nonconvex_level
from lossatlas.shape.grids import centre
from lossatlas.shape.radii import RISE, Width, curvature, mean_loss, radius
from lossatlas.shape.widths import level_set


@dataclass(frozen=True)
class Measure:
    """What a number is called, its unit, and what a larger one means."""

    title: str
    unit: str
    larger: Literal["sharper", "flatter"]


MEASURES: Mapping[str, Measure] = {
    "curvature": Measure("curvature at the centre", "nats per squared multiple of the direction", "sharper"),
    "doubling_radius": Measure("radius, loss doubled", "multiple of the direction", "flatter"),
    "level_radius": Measure(f"radius, loss {RISE} higher", "multiple of the direction", "flatter"),
    "convex_share": Measure("convex share of the plane", "fraction of the points", "flatter"),
    "convex_radius": Measure("nearest point without convexity", "multiple of the directions", "flatter"),
    "nonconvex_level": Measure("lowest loss without convexity", "nats per example", "flatter"),
    "level_width": Measure(f"width of the {RISE} level set", "multiple of the directions", "flatter"),
    "level_area": Measure(f"area of the {RISE} level set", "squared multiple of the directions", "flatter"),
    "rise_width": Measure(f"width of the set {RISE} above", "multiple of the directions", "flatter"),
    "rise_area": Measure(f"area of the set {RISE} above", "squared multiple of the directions", "flatter"),
}


@dataclass(frozen=True)
class Numbers:
    """Measures and what belongs to them, and why measures are NaN."""

    values: Mapping[str, Any]
    unknown: Mapping[str, str]


def _beyond(width: Width) -> float:
    return width.value if width.reached else math.inf


def profile_numbers(profile: Profile) -> Numbers:
    """Return `curvature` with `curvature_std` and `curvature_finite` of so many `directions`, and both radii.

    Raises:
        NoCentreError: there is no point at alpha = 0.
    """
    found, start = curvature(profile), float(mean_loss(profile)[1][0])
    values: dict[str, Any] = {
        "curvature": found.mean,
        "curvature_std": found.std,
        "curvature_finite": found.finite,
        "directions": found.directions,
        "doubling_radius": _beyond(radius(profile, 2 * start)) if start > 0 else math.nan,
        "level_radius": _beyond(radius(profile, start + RISE)),
    }
    lost = "losses were not computed" if math.isfinite(start) else "the loss at the centre is not finite"
    reasons = {
        "curvature": f"it is finite along {found.finite} of {found.directions} directions",
        "doubling_radius": "a loss of 0 does not double" if start == 0 else lost,
        "level_radius": lost,
    }
    return Numbers(values, {name: text for name, text in reasons.items() if math.isnan(values[name])})


def plane_numbers(plane: Plane) -> Numbers:
    """Return the measures of a plane, its `plane_train_loss_centre`, and the sets that touch its border.

    `level_*` belong to the set of losses up to 0.1 about the centre and are NaN where the centre's own loss is higher;
    `rise_*` to the set up to 0.1 above the centre's loss. Both are NaN where the set goes on beyond the plane.

    Raises:
        NoCentreError: there is no point at (0, 0).
    """
    start = float(plane.train_loss[centre("x", plane.x), centre("y", plane.y)])
    sets = {"level": level_set(plane, RISE), "rise": level_set(plane, start + RISE)}
    convex = {
        "convex_share": convex_share(plane),
        "convex_radius": convex_radius(plane),
        "nonconvex_level": nonconvex_level(plane),
    }
    values = {
        "plane_train_loss_centre": start,
        **convex,
        **{f"{name}_width": found.width for name, found in sets.items()},
        **{f"{name}_area": found.area for name, found in sets.items()},
        "touches_border": [name for name, found in sets.items() if found.touches_border],
    }
    unknown = {name: "no point was computed with its neighbours" for name in convex if math.isnan(convex[name])}
    for name, found in sets.items():
        unknown |= {f"{name}_{what}": found.unknown for what in ("width", "area") if found.unknown}
    return Numbers(values, unknown)
