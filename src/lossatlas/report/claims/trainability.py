"""Claims about initialization, gradients and depth (section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.inputs import available, gather, learnt, probe, sharpness
from lossatlas.report.claims.rule import Evidence, MissingError, Rule
from lossatlas.report.targets import load_targets

WELL_BEHAVED = ("resnet20", "resnet56", "resnet110", "resnet20_noshort")
CHAOTIC = ("resnet56_noshort", "resnet110_noshort")
NORMALIZED = ("li", "glorot")  # schemes that keep the scale of a layer's outputs
ABOUT = 1.1  # a tenth more is still "about"
UNCORRELATED = 0.1  # |cos|: one hundredth of the squared length in common
CONTROL = "resnet158"
DEEP = tuple(f"resnet158_noshort{suffix}" for suffix in ("", "_lr001", "_lr1e-3", "_lr1e-4"))
GUESSED, TRAINED = 0.9, 0.5  # of the error of guessing: above the one nothing was learnt, below the other it was


def level() -> float:
    """Return the loss that the claim names."""
    return load_targets().claim_number("init_below_2_5")


def starts_below(results: Results) -> Evidence:
    """Compare losses at initialization and levels of lost convexity with 2.5."""
    limit = level()
    probes, unprobed = available(partial(probe, results, part="initialization"), (*WELL_BEHAVED, *CHAOTIC))
    lost, unknown = available(partial(sharpness, results, key="nonconvex_level"), (*WELL_BEHAVED, *CHAOTIC))
    found = Evidence()
    for run, record in probes.items():
        for scheme in [scheme for scheme in NORMALIZED if scheme in record] or NORMALIZED[:1]:
            losses = initial_losses(record, run, scheme)
            number = found.add(f"{run}: initial loss, {scheme}", losses, "nats", none="not finite")
            found.require(number.ceiling <= ABOUT * limit, f"{run} starts above {limit:g} ({scheme})")
    for run, values in lost.items():
        number = found.add(f"{run}: lowest loss without convexity", values, "nats")
        if run in WELL_BEHAVED:
            found.require(number.size > limit, f"{run} loses convexity below {limit:g}")
        else:
            found.require(number.ceiling < limit, f"{run} stays convex beyond {limit:g}")
    found.without([*unprobed, *unknown])
    return found


def initial_losses(record: Mapping[str, Any], run: str, scheme: str) -> list[float | None]:
    """Return the losses at initialization with batch statistics, one per seed; None where they are not finite.

    Args:
        record: what was probed of a run at initialization.
        run: the run.
        scheme: how weights were drawn.

    Raises:
        MissingError: the scheme was not probed.
    """
    losses: list[float | None] | None = (record.get(scheme) or {}).get("train_mode")
    if not losses:
        raise MissingError(f"no losses of {run} at initialization with the scheme {scheme}")
    return losses


def _far_cosines(results: Results, run: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return the gradients at the centre, and at points whose loss is one at which the surface is not convex."""
    learnt(results, run)
    gradients = probe(results, run, "gradients")
    value = sharpness(results, run, "nonconvex_level")[0]
    chaotic = float("inf") if value is None else value
    far = [point for point in gradients["far"] if point["mean_cosine"] is not None and _loss(point) >= chaotic]
    if not far:
        raise MissingError(f"gradients of {run} in its chaotic region (points above the level where convexity is lost)")
    return gradients["centre"], far


def _loss(point: Mapping[str, Any]) -> float:
    return float("inf") if point["loss"] is None else float(point["loss"])


def shattered_gradients(results: Results) -> Evidence:
    """Look at cosines between gradients of mini-batches far from the minimizer."""
    gather(partial(_far_cosines, results), CHAOTIC[:1])
    probed, absent = available(partial(_far_cosines, results), CHAOTIC)
    found = Evidence(notes=[f"left out: {reason}" for reason in absent])
    for run, (centre, far) in probed.items():
        cosine = found.add(f"{run}: cosine in the chaotic region", [_mean([point["mean_cosine"] for point in far])])
        found.add(f"{run}: points there", len(far))
        found.add(f"{run}: cosine at the minimizer", centre["mean_cosine"], none="not finite")
        found.require(abs(cosine.size) <= UNCORRELATED, f"{run}: gradients are correlated in the chaotic region")
    for run in ("resnet56", "resnet110"):
        points = ((results.probes.get(run) or {}).get("gradients") or {}).get("far") or []
        values = [point["mean_cosine"] for point in points if point["mean_cosine"] is not None]
        if values:
            found.add(f"{run}: cosine as far away, for comparison", _mean(values))
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def untrainable(results: Results) -> Evidence:
    """Compare final training errors of the deepest network without shortcuts and with them."""
    if absent := [run for run in (CONTROL, *DEEP) if run not in results.runs]:
        raise MissingError("; ".join(f"run {run} is not there" for run in absent))
    found = Evidence()
    for run in (CONTROL, *DEEP):
        done = results.runs[run]
        error, classes = done.final("train_error"), int(done.info["num_classes"])
        guessing = 1 - 1 / classes
        percent = None if error is None else 100 * error
        number = found.add(f"{run}: training error", [percent], "%", none="diverged")
        found.add(f"{run}: training loss", done.final("train_loss"), "nats", none="diverged")
        if error is None:
            found.notes.append(f"{run} diverged")
        if run == CONTROL:
            found.require(number.size < 100 * TRAINED * guessing, f"{run}, the control, does not train either")
        else:
            found.require(number.size > 100 * GUESSED * guessing, f"{run} trains")
    return found


RULES = (
    Rule(
        "init_below_2_5",
        "With batch statistics, Li's and Glorot's initializations must start below the level that the claim names "
        "(within a tenth) on every probed ResNet; the lowest loss at which the surface is not convex must be "
        "above it for ResNet-20, -56, -110 and ResNet-20 without shortcuts, below it for ResNet-56 and -110 "
        "without shortcuts.",
        starts_below,
        ("initialization", "figure-5"),
    ),
    Rule(
        "shattered_gradients",
        "At displaced points whose loss is at or above the level where the surface of ResNet-56 or -110 without "
        "shortcuts loses convexity, the mean cosine between gradients of mini-batches must be at most "
        f"{UNCORRELATED} in size.",
        shattered_gradients,
        ("gradient-correlations",),
    ),
    Rule(
        "noshort156_untrainable",
        "Depth 158 without shortcuts must end, at each of four learning rates, with a training error above "
        f"{GUESSED} of that of guessing (or diverge), while the same depth with shortcuts ends below {TRAINED} of "
        "it.",
        untrainable,
        ("trainability", "deepest-networks"),
    ),
)
