"""Claims about the minimizers of small and large batches (section 5, appendices A.2 and A.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.inputs import available, cut, errors, finished, gather, seeds_of, sharpness
from lossatlas.report.claims.rule import RANKED, Evidence, MissingError, Number, Rule
from lossatlas.results import Floats, Line
from lossatlas.shape.radii import RISE, Width, bowl_radius, outward
from lossatlas.shape.ranks import spearman

SGD = ("vgg9", "vgg9_nowd", "vgg9_large", "vgg9_large_nowd")
EIGHT = (*SGD, "vgg9_adam", "vgg9_adam_nowd", "vgg9_adam_large", "vgg9_adam_large_nowd")
CLOSE = 0.1  # of the height of the mean curve: at the size of a printed figure the curves fall together
DIRECTIONS = 10


def _line(results: Results, name: str) -> Line:
    found = results.lines.get(name)
    if found is None or found.line is None:
        reason = f" ({found.info['reason']})" if found and found.info.get("reason") else ""
        raise MissingError(f"no interpolation {name}{reason}")
    return found.line


def _end(line: Line, alpha: float, side: int) -> tuple[Width, float, bool]:
    """Return how wide a minimizer is on one side of it, its loss, and whether what ends the width is not finite."""
    start = int(np.abs(line.alpha - alpha).argmin())
    if abs(line.alpha[start] - alpha) > 1e-6:
        raise MissingError(f"the interpolation has no point at {alpha:g}")
    step = slice(start, None) if side > 0 else slice(start, None, -1)
    loss = line.train_loss[step]
    end = int(np.argmin(loss <= loss[0] + RISE))  # 0 where the loss never rises so far
    return outward(np.abs(line.alpha[step] - alpha), loss), float(loss[0]), not np.isfinite(loss[end])


def sharpness_flips(results: Results) -> Evidence:
    """Compare the outer widths of both ends of the interpolations without and with weight decay."""
    names = ("vgg9_nowd_interpolation", "vgg9_interpolation")
    gather(lambda name: _line(results, name), names)
    found, inner, broken = Evidence(), Evidence(), []
    for name, small_wider in zip(names, (True, False), strict=True):
        lines, absent = available(lambda name: _line(results, name), seeds_of(name, results.lines))
        found.notes += [f"left out: {reason}" for reason in absent]
        widths = []
        for batch, alpha, side in (("small", 0.0, -1), ("large", 1.0, 1)):
            ends = [_end(line, alpha, side) for line in lines.values()]
            cut = sum(breaks for _, _, breaks in ends)
            if cut:
                broken.append(
                    f"{name}: outside the {batch} batch the loss is not finite on {cut} of {len(lines)} lines"
                )
            values, bound = _together([width for width, _, _ in ends])
            widths.append(found.add(f"{name}: width, {batch} batch", values, "of the segment", bound))
            found.add(f"{name}: training loss, {batch} batch", [loss for _, loss, _ in ends], "nats")
            values, bound = _together([_end(line, alpha, -side)[0] for line in lines.values()])
            inner.add(f"for information, {name}: inner width, {batch} batch", values, "of the segment", bound)
        found.greater(*(widths if small_wider else reversed(widths)))
    if broken:
        raise MissingError("; ".join([*broken, *found.notes]), [*found.numbers, *inner.numbers])
    return found


def _together(widths: Sequence[Width]) -> tuple[list[float], str]:
    """Return the numbers, and `at least` where the loss did not rise far enough for one of them."""
    return [width.value for width in widths], "" if all(width.reached for width in widths) else "at least"


def filter_norm_ranks(results: Results) -> Evidence:
    """Compare the order of the four SGD minimizers by radius and by test error."""
    radii = gather(lambda run: sharpness(results, run, "level_radius"), SGD)
    curvatures = gather(lambda run: sharpness(results, run, "curvature"), SGD)
    found, ranked = Evidence(), []
    for run in SGD:
        radius = found.add(f"{run}: radius", radii[run], "of the direction")
        wrong = found.add(f"{run}: test error", errors(results, run), "%")
        ranked.append((-radius.size, wrong.size, found.add(f"{run}: curvature", curvatures[run]).size))
    sharp, error, curvature = (list(column) for column in zip(*ranked, strict=True))
    rho = spearman(sharp, error)
    found.add("rank correlation of sharpness (falling radius) with test error", rho)
    columns = zip(*(zip(radii[run], errors(results, run), strict=False) for run in SGD), strict=False)
    within = [spearman([-math.inf if r is None else -r for r, _ in one], [e for _, e in one]) for one in columns]
    if len(within) > 1:
        found.add("for information: the same within each seed", [rho for rho in within if rho is not None])
    found.add("rank correlation of curvature with test error", spearman(curvature, error))
    found.require((rho or 0.0) >= RANKED, "the order by sharpness is not that of the test errors")
    return found


def _neighbours(runs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of runs that differ in one setting: optimizer, batch or weight decay."""
    parts = {run: frozenset(run.split("_")) for run in runs}
    yield from (pair for pair in combinations(runs, 2) if len(parts[pair[0]] ^ parts[pair[1]]) == 1)


def _radii(results: Results, run: str) -> dict[str, tuple[list[float], str]]:
    """Return per normalization the radius, one per seed, and `at least` where the loss did not rise as far."""
    found = {}
    for kind, names in {"filter": ("filter",), "layer": ("layer",), "none": ("none_enlarged", "none")}.items():
        profiles, _ = available(lambda name: [bowl_radius(item) for item in cut(results, run, name)], names)
        if not profiles:
            cut(results, run, names[0])
        inside = [widths for widths in profiles.values() if all(width.reached for width in widths)]
        widths = inside[0] if inside else list(profiles.values())[-1]
        found[kind] = _together(widths)
    return found


def layer_norm_fails(results: Results) -> Evidence:
    """Count per normalization the pairs of minimizers of which the sharper one has the lower test error."""
    gather(lambda run: _radii(results, run), SGD)
    radii, absent = available(lambda run: _radii(results, run), EIGHT)
    found = Evidence(notes=[f"left out: {reason}" for reason in absent])
    error = {run: found.add(f"{run}: test error", errors(results, run), "%") for run in radii}
    against: dict[str, list[tuple[str, str]]] = {}
    for kind in ("filter", "layer", "none"):
        radius = {}
        for run, values in radii.items():
            numbers, bound = values[kind]
            radius[run] = found.add(f"{run}: radius, {kind}", numbers, "of the direction", bound)
        against[kind] = [pair for pair in _neighbours(list(radii)) if _against(pair, error, radius)]
        found.add(f"pairs ranked against their test error, {kind}", len(against[kind]))
    if against["filter"]:
        pairs = ", ".join(" and ".join(pair) for pair in against["filter"])
        found.require(False, f"filter normalization ranks against the test error: {pairs}")
    found.require(bool(against["layer"]), "layer normalization ranks no pair against its test error")
    found.require(bool(against["none"]), "no normalization ranks no pair against its test error")
    return found


def _against(pair: tuple[str, str], error: dict[str, Number], radius: dict[str, Number]) -> bool:
    better, worse = sorted(pair, key=lambda run: error[run].size)
    margin = max(error[better].spread or 0.0, error[worse].spread or 0.0)
    return error[worse].size - error[better].size > margin and radius[better].ceiling < radius[worse].size


def repeatable(results: Results) -> Evidence:
    """Compare the spread of ten curves with the height of their mean."""
    profile = cut(results, "vgg9", "filter")[0]
    loss = profile.train_loss
    if len(loss) < DIRECTIONS:
        raise MissingError(f"{DIRECTIONS} filter-normalized directions of vgg9; there are {len(loss)}")
    if not np.isfinite(loss).all():
        raise MissingError("finite losses along all filter-normalized directions of vgg9")
    found = Evidence()
    mean, spread = loss.mean(axis=0), loss.std(axis=0, ddof=1)
    height = found.add("height of the mean curve", float(mean.max() - mean.min()), "nats")
    found.add("directions", len(loss))
    relative = _rms(spread) / max(height.size, 1e-12)
    share = found.add("vgg9: root mean square of the spread, share of the height", [relative])
    found.add("median of spread over mean loss", float(np.median(spread / mean)))
    found.require(share.size <= CLOSE, "the curves differ by more than a tenth of their height")
    return found


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def small_batch_generalizes(results: Results) -> Evidence:
    """Compare the test errors of small and large batches at equal optimizer and weight decay."""
    gather(lambda run: finished(results, run), SGD)
    kinds = [f"{network}{optimizer}" for network in ("vgg9", "resnet56") for optimizer in ("", "_adam")]
    found = Evidence()
    for kind in kinds:
        for decay in ("", "_nowd"):
            small, large = f"{kind}{decay}", f"{kind}_large{decay}"
            pair, absent = available(lambda run: errors(results, run), (small, large))
            found.notes += [f"not compared: {small} and {large} ({'; '.join(absent)})"] if absent else []
            if len(pair) == 2:
                found.greater(*(found.add(f"{run}: test error", pair[run], "%") for run in (large, small)))
    return found


RULES = (
    Rule(
        "fig2_sharpness_flips",
        "Along the interpolation of VGG-9, a minimizer's width is the distance on the outer side of its end at "
        f"which the training loss has risen by {RISE} above that end's. Without weight decay the small batch's width "
        "must be the larger, with it the smaller, by more than the standard deviation over seeds where runs were "
        "repeated. Where the loss is not finite before it has risen so far, as beyond an end at which extrapolated "
        "running variances fall below zero, nothing is decided; the inner widths are shown for information.",
        sharpness_flips,
        ("figure-2",),
    ),
    Rule(
        "fig3_filter_norm_ranks",
        "Sharpness of the four SGD minimizers of VGG-9 is a small radius at which the mean loss along "
        f"filter-normalized directions has risen by {RISE}. Its rank correlation with test error must be at least "
        f"{RANKED}.",
        filter_norm_ranks,
        ("figure-3", "sharpness", "sharpness-numbers"),
    ),
    Rule(
        "a2_layer_norm_fails",
        "Among pairs of VGG-9 minimizers that differ in one setting (optimizer, batch, weight decay), count those "
        f"of which the one with the lower test error has the smaller radius (rise by {RISE}). There must be none "
        "with filter normalization, at least one with layer normalization and one without any.",
        layer_norm_fails,
        ("figure-11", "figure-12", "figure-13"),
    ),
    Rule(
        "a4_repeatable",
        f"Over {DIRECTIONS} filter-normalized directions of VGG-9, the standard deviation of the loss (root mean "
        f"square along the line) must be at most {CLOSE} of the height of the mean curve.",
        repeatable,
        ("figure-16",),
    ),
    Rule(
        "small_batch_generalizes",
        "In every pair of VGG-9 or ResNet-56 that differs in batch size only, the small batch must have the lower "
        "test error, by more than the standard deviation over seeds where runs were repeated.",
        small_batch_generalizes,
        ("table-1", "vgg9-errors"),
    ),
)
