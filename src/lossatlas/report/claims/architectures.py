"""Claims about depth, shortcuts and width (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.inputs import available, errors, gather, probe, seeds_of, sharpness
from lossatlas.report.claims.rule import RANKED, Evidence, MissingError, Number, Rule
from lossatlas.report.claims.trainability import initial_losses
from lossatlas.shape.radii import RISE
from lossatlas.shape.ranks import spearman

DEPTHS = (20, 56, 110)
WITH, WITHOUT = ([f"resnet{depth}{suffix}" for depth in DEPTHS] for suffix in ("", "_noshort"))
HALF = 0.5  # of the convex share of the shallow network with shortcuts: below it a surface counts as chaotic
ALIKE = 1.25  # a quarter: several times what the width differs by between random directions of one network
WIDTHS = {
    "with shortcuts": ("resnet56", "wrn56_2", "wrn56_4", "wrn56_8"),
    "without": ("resnet56_noshort", "wrn56_2_noshort", "wrn56_4_noshort", "wrn56_8_noshort"),
}
RANKED_EIGHT = 9 / 14  # Spearman among eight: the one-sided 5 % point


def _shares(results: Results, found: Evidence, runs: Sequence[str]) -> tuple[dict[str, Number], list[str]]:
    """Return the convex shares of those runs that have one, and why the others have none."""
    values, absent = available(partial(sharpness, results, key="convex_share"), runs)
    shares = {
        run: found.add(f"{run}: convex share of the plane", [None if v is None else 100 * v for v in item], "%")
        for run, item in values.items()
    }
    return shares, absent


def depth_chaos(results: Results) -> Evidence:
    """Compare convex shares of planes over depth, with and without shortcuts."""
    found = Evidence()
    share, absent = _shares(results, found, [*WITH, *WITHOUT])
    if WITH[0] in share:
        bound = HALF * share[WITH[0]].size
        for run in (WITHOUT[0], *WITH[1:]):
            enough = run not in share or share[run].size > bound
            found.require(enough, f"{run} keeps less than half of the convex share of {WITH[0]}")
        chaotic = WITHOUT[2] not in share or share[WITHOUT[2]].size <= bound
        found.require(chaotic, f"{WITHOUT[2]} keeps more than half of that of {WITH[0]}")
    if share.keys() >= set(WITHOUT[:2]):
        found.greater(share[WITHOUT[0]], share[WITHOUT[1]])
    found.without(absent)
    return found


def contour_width(results: Results) -> Evidence:
    """Compare the width of the 0.1 level set at 20 and at 110 layers."""
    runs = (WITH[0], WITH[2])
    try:
        values = gather(partial(sharpness, results, key="level_width"), runs)
    except MissingError as missing:
        raise MissingError(str(missing), _rises(results, runs)) from None
    found = Evidence()
    widths = [found.add(f"{run}: width", values[run], "of the directions") for run in runs]
    ratio = found.add("ratio", widths[1].size / widths[0].size if widths[0].size else None)
    found.require(1 / ALIKE <= ratio.size <= ALIKE, "the widths differ by more than a quarter")
    found.numbers += _rises(results, runs)
    return found


def _rises(results: Results, runs: Sequence[str]) -> list[Number]:
    """Return the widths of the sets above the centre's own loss, which always exist but are not the paper's."""
    entries, found = results.sharpness.get("runs") or {}, Evidence()
    for run in runs:
        seeds = [entries[name] for name in seeds_of(run, entries) if name in entries]
        widths = [entry["rise_width"] for entry in seeds if entry.get("rise_width") is not None]
        if widths:
            label = f"for information, {run}: width {RISE} above the loss at the centre"
            found.add(label, widths, "of the directions")
    return found.numbers


def width_flattens(results: Results) -> Evidence:
    """Rank radii, convex shares and test errors of eight networks by width."""
    runs = [run for row in WIDTHS.values() for run in row]
    found = Evidence()
    shares, absent = _shares(results, found, runs)
    found.without(absent)
    radii = gather(partial(sharpness, results, key="level_radius"), runs)
    radius = {run: found.add(f"{run}: radius", radii[run], "of the direction") for run in runs}
    error = {run: found.add(f"{run}: test error", errors(results, run), "%") for run in runs}
    for words, row in WIDTHS.items():
        for quantity, numbers in (("radius", radius), ("convex share", shares)):
            rho = spearman(range(len(row)), [numbers[run].size for run in row])
            found.add(f"rank correlation of width with {quantity}, {words}", rho)
            found.require((rho or 0.0) >= RANKED, f"{words}: the {quantity} does not grow with the width")
    rho = spearman([radius[run].size for run in runs], [-error[run].size for run in runs])
    found.add("rank correlation of radius with accuracy, all", rho)
    found.require((rho or 0.0) >= RANKED_EIGHT, "flatness does not go with test error")
    return found


def depth_transition(results: Results) -> Evidence:
    """Look where chaos sets in, and how the level of lost convexity falls towards that of initialization."""
    found = Evidence()
    share, absent = _shares(results, found, [WITH[0], *WITHOUT])
    found.without(absent)
    levels = gather(partial(sharpness, results, key="nonconvex_level"), WITHOUT)
    initial = initial_losses(probe(results, WITHOUT[2], "initialization"), WITHOUT[2], "li")
    start = found.add(f"{WITHOUT[2]}: initial loss", initial, "nats", none="not finite")
    level = [found.add(f"{run}: lowest loss without convexity", levels[run], "nats") for run in WITHOUT]
    bound = HALF * share[WITH[0]].size
    found.require(share[WITHOUT[0]].size > bound, f"{WITHOUT[0]} is chaotic already")
    found.require(share[WITHOUT[1]].size <= bound, f"{WITHOUT[1]} is not chaotic yet")
    found.greater(level[0], level[1])
    found.greater(level[1], level[2])
    nearer = abs(level[2].ceiling - start.size) < abs(level[0].size - start.size)
    found.require(nearer, "the level does not come nearer to that of initialization")
    return found


RULES = (
    Rule(
        "fig5_depth_chaos",
        "Yardstick: half of the share of the plane in which the surface of ResNet-20 is convex. ResNet-20 without "
        "shortcuts and ResNet-56 and -110 with them must keep more than that, ResNet-110 without shortcuts no "
        "more; and without shortcuts the share must fall from 20 to 56 layers.",
        depth_chaos,
        ("figure-5", "sharpness-numbers"),
    ),
    Rule(
        "fig5_contour_width",
        f"With shortcuts, the widths of the {RISE} level set (diameter of the disc of equal area) at 110 and at 20 "
        f"layers must have a ratio within a factor of {ALIKE:g}. Where a centre's own loss is above {RISE} or a set "
        "touches the border of its plane, nothing is decided; the widths above the centres' own losses are shown for "
        "information.",
        contour_width,
        ("figure-5", "sharpness-numbers"),
    ),
    Rule(
        "fig6_width_flattens",
        f"ResNet-56 with k = 1, 2, 4, 8: in each row, with and without shortcuts, radius (rise by {RISE}) and "
        f"convex share of the plane must each have a rank correlation of at least {RANKED} with k; over all eight "
        f"the rank correlation of radius with accuracy must be at least {RANKED_EIGHT:.3f}.",
        width_flattens,
        ("figure-6", "sharpness-numbers"),
    ),
    Rule(
        "depth_transition",
        "Without shortcuts, 20 layers must keep more than half of the convex share of ResNet-20, 56 layers no "
        "more than half; the lowest loss at which the surface is not convex must fall from 20 to 56 to 110 layers "
        "and end nearer to the initial loss of the deepest than it began.",
        depth_transition,
        ("figure-5", "initialization"),
    ),
)
