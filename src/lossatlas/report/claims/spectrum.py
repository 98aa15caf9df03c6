"""Claims about eigenvalues of the Hessian (section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.inputs import available, gather, learnt, plane, probe
from lossatlas.report.claims.rule import Evidence, MissingError, Rule
from lossatlas.results import Floats, HessianMap, Integers, Mask
from lossatlas.shape.convexity import convex_points

MAPPED = ("resnet56", "resnet56_noshort", "densenet121")  # of Figure 7: convex, chaotic, dense
NEAR_ZERO = 0.1  # the negative end a tenth of the positive one: the low end of the map's colours
ONE_PERCENT, LARGE = 0.01, 0.5  # the paper's number; "a large region" is at least half of the map
UNITS, FAR = 10.0, 10.0  # "a few units" have one digit; "far below" is an order of magnitude
DOUBT = 0.01  # p value below which two samples do not have one distribution
ERRORS = 4.0  # standard errors that a mean may be off

_COMPARED = (
    *("weighted_p_value", "mean_curvature", "mean_curvature_error"),
    *("slices_nonconvex", "negative_fraction", "slices_beyond_spectrum"),
)


def _map(results: Results, name: str) -> HessianMap:
    found = results.hessians.get(name)
    if found is None or found.map is None:
        raise MissingError(f"no Hessian map of {name}")
    return found.map


def _nearest(axis: Floats, coordinates: Floats) -> tuple[Integers, Mask]:
    """Return the nearest grid index of each coordinate and whether it is within half a spacing."""
    index = np.abs(axis[:, None] - coordinates[None, :]).argmin(axis=0)
    return index, np.abs(axis[index] - coordinates) <= 0.5 * abs(axis[1] - axis[0]) + 1e-9


def _ratios(results: Results, name: str) -> tuple[Floats, Floats, Floats]:
    """Return |lambda_min / lambda_max| where the plane of that name looks convex, where it does not, and everywhere.

    At points that did not converge the ratio is infinite in the last array and left out of the others.
    """
    found, surface = _map(results, name), plane(results, name)
    first, second = (item.provenance.get("directions") for item in (found, surface))
    if first and second and first != second:
        raise MissingError(f"a Hessian map and a plane of {name} along the same directions")
    convex, known = convex_points(surface)
    i, near_x = _nearest(surface.x, found.x)
    j, near_y = _nearest(surface.y, found.y)
    good = found.converged & found.computed & (found.lambda_max != 0)
    ratio = np.abs(found.lambda_min) / np.where(good, np.abs(found.lambda_max), 1.0)
    seen = good & near_x[:, None] & near_y[None, :] & known[np.ix_(i, j)]
    looks = convex[np.ix_(i, j)]
    if not seen.any():
        raise MissingError(f"converged points of the Hessian map of {name} inside its plane")
    return ratio[seen & looks], ratio[seen & ~looks], np.where(good, ratio, np.inf)[found.computed]


def convex_looks_convex(results: Results) -> Evidence:
    """Compare the ratio of the extremes where surfaces look convex and where they do not."""
    gather(lambda name: _ratios(results, name), MAPPED)
    names = [*MAPPED, *(name for name in sorted(results.hessians) if name not in MAPPED)]
    ratios, absent = available(lambda name: _ratios(results, name), names)
    found = Evidence(notes=[f"left out: {reason}" for reason in absent])
    for name, (convex, other, _) in ratios.items():
        found.add(f"{name}: points that look convex", len(convex))
        found.add(f"{name}: points that do not", len(other))
        medians = [float(np.median(part)) if len(part) else None for part in (convex, other)]
        if medians[0] is not None:
            number = found.add(f"{name}: median ratio where it looks convex", medians[:1])
            found.require(number.size <= NEAR_ZERO, f"{name}: the ratio is not near 0 where the surface looks convex")
        if medians[1] is not None:
            found.add(f"{name}: median ratio elsewhere", medians[1:])
        if medians[0] is not None and medians[1] is not None:
            found.require(medians[0] < medians[1], f"{name}: the ratio is not larger where it does not look convex")
    everywhere = ratios["densenet121"][2]
    found.add("densenet121: points of the map that converged", 100 * float(np.mean(np.isfinite(everywhere))), "%")
    dense = 100 * float(np.mean(everywhere < ONE_PERCENT))
    share = found.add("densenet121: points of the map with a ratio below 1 %", [dense], "%")
    found.require(share.size >= 100 * LARGE, "densenet121: the ratio is below 1 % in less than half of the map")
    return found


def condition_number(results: Results) -> Evidence:
    """Compare the condition number of a slice with a lower bound of the full one."""
    pairs, absent = available(lambda name: _conditions(results, name), sorted(results.probes))
    if not pairs:
        raise MissingError("; ".join(absent) or "no condition number of any run")
    found = Evidence(notes=[f"left out: {reason}" for reason in absent])
    for name, (part, whole) in pairs.items():
        slices = found.add(f"{name}: slice", [part])
        full = found.add(f"{name}: full Hessian", [whole], "", "at least")
        found.require(slices.size <= UNITS, f"{name}: the slice's is not a few units")
        found.require(full.size >= FAR * slices.size, f"{name}: the full one is not shown to be ten times the slice's")
    return found


def _conditions(results: Results, name: str) -> tuple[float, float]:
    learnt(results, str(results.probes[name].get("run", name)))
    found = probe(results, name, "condition")
    part, whole = found.get("slice"), found.get("full_lower_bound")
    if part is None or whole is None:
        raise MissingError(f"no condition number of {name}")
    return float(part), float(whole)


def projected_curvature(results: Results) -> Evidence:
    """Compare curvatures of slices with the full spectrum, after training and at initialization."""
    points, absent = available(lambda name: _points(results, name), sorted(results.slices))
    if not points:
        raise MissingError("; ".join(absent) or "no slices of a small network")
    found, seen = Evidence(notes=[f"left out: {reason}" for reason in absent]), False
    for name, places in points.items():
        for place, info in places.items():
            share = _compare(found, f"{name}, {place}", info)
            seen = seen or share > 0
    if not seen and not found.failed:
        raise MissingError("a slice that is not convex: all are, at every point looked at", found.numbers)
    return found


def _compare(found: Evidence, at: str, info: Mapping[str, Any]) -> float:
    """Add the numbers of one point and return the share of its slices that are not convex, percent."""
    p_value = found.add(f"{at}: p value, measured and weighted curvatures", info["weighted_p_value"])
    mean = found.add(f"{at}: mean curvature of random directions", info["mean_curvature"][0])
    trace = found.add(f"{at}: mean eigenvalue", info["mean_curvature"][1])
    error = found.add(f"{at}: standard error", info["mean_curvature_error"])
    share = found.add(f"{at}: slices with negative curvature", 100 * info["slices_nonconvex"], "%")
    negative = found.add(f"{at}: negative eigenvalues", 100 * info["negative_fraction"], "%")
    beyond = found.add(f"{at}: slices with a curvature beyond the spectrum", 100 * info["slices_beyond_spectrum"], "%")
    found.require(p_value.size >= DOUBT, f"{at}: measured curvatures are not distributed as the weighted averages")
    found.require(abs(mean.size - trace.size) <= ERRORS * error.size, f"{at}: their mean is not the mean eigenvalue")
    found.require(beyond.size == 0, f"{at}: a slice's curvature lies outside the spectrum: it is no average of it")
    found.require(share.size == 0 or negative.size > 0, f"{at}: slices are not convex, the full function is")
    return share.size


def _points(results: Results, name: str) -> dict[str, Mapping[str, Any]]:
    """Return the numbers of slices after training and at initialization."""
    info = results.slices[name].info
    places = {"after training": info, "at initialization": info.get("start") or {}}
    for place, numbers in places.items():
        absent = [key for key in _COMPARED if _absent(numbers.get(key))]
        if absent:
            what = " and ".join(key.replace("_", " ") for key in absent)
            raise MissingError(f"no {what} of the slices {name} {place}")
    return places


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, list) and None in value)


RULES = (
    Rule(
        "fig7_convex_looks_convex",
        "At converged points of each map whose surface is convex on the plane's grid, the median of |lambda_min / "
        f"lambda_max| must be at most {NEAR_ZERO}, and below the median at the other points where there are such; "
        f"for DenseNet-121 it must be below 1 % at {100 * LARGE:g} % of the map's points at least, those that did not "
        "converge among the points but not below.",
        convex_looks_convex,
        ("figure-7",),
    ),
    Rule(
        "condition_number",
        "At every probed minimizer (networks that have not learnt have none) the condition number of the slice must "
        f"be at most {UNITS:g} and a rigorous lower bound of the full Hessian's at least {FAR:g} times it.",
        condition_number,
        ("condition-numbers",),
    ),
    Rule(
        "projected_curvature",
        "On a small network, after training and at initialization: curvatures along random directions must be "
        "distributed as averages of all eigenvalues with chi-square weights (two-sample Kolmogorov-Smirnov p at "
        f"least {DOUBT}) and have the mean eigenvalue as their mean within {ERRORS:g} standard errors; no slice may "
        "have a curvature beyond the spectrum; and where a slice is not convex there must be a negative eigenvalue. "
        "Negative and beyond mean by more than the rounding of n eigenvalues: n times the precision of float64 "
        "times the largest. Where no slice is non-convex at either point, nothing is decided.",
        projected_curvature,
        ("projected-curvature", "slice-curvatures"),
    ),
)
