"""Claims about the path of training (section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lossatlas.report.artefacts import Results
from lossatlas.report.claims.inputs import available, probe, seeds_of, trajectory
from lossatlas.report.claims.minimizers import EIGHT
from lossatlas.report.claims.rule import Evidence, MissingError, Rule
from lossatlas.results import Floats, Trajectory

LOW, HIGH = 0.40, 0.90  # as in the claim
NOTHING = 0.01  # of the variation: what cannot be seen in a figure
ERRORS = 4.0  # standard errors that a mean may be off
RANDOM = 2 / math.pi  # mean |cos| of a random angle in a plane: above it a step runs across the contours
PART = 0.25  # of the epochs at the initial rate: the beginning, and the end
KINK = 45.0  # degrees, half of a right angle


def pca_two_dims(results: Results) -> Evidence:
    """Look at the variation that two principal components of each path hold."""
    trajectory(results, "vgg9")
    paths, absent = available(lambda name: trajectory(results, name), EIGHT)
    found = Evidence(notes=[f"left out: {reason}" for reason in absent])
    for name in paths:
        seeds, lost = available(lambda seed: trajectory(results, seed), seeds_of(name, results.trajectories))
        found.notes += [f"left out: {reason}" for reason in lost]
        two = [100 * float(path.captured[:2].sum()) for path in seeds.values()]
        share = found.add(f"{name}: variation in two principal directions", two, "%")
        found.within(share, 100 * LOW, 100 * HIGH)
    return found


def random_directions_fail(results: Results) -> Evidence:
    """Look at the variation along two random directions, and at cosines of random vectors."""
    path = trajectory(results, "vgg9_random")
    cosines, absent = available(lambda name: probe(results, name, "random_cosine"), sorted(results.probes))
    if not cosines:
        raise MissingError("; ".join(absent) or "no cosines of random directions")
    found = Evidence()
    share = found.add("vgg9: variation in two random directions", [100 * float(path.captured.sum())], "%")
    found.require(share.size < 100 * NOTHING, "two random directions capture more than 1 % of the variation")
    for name, record in cosines.items():
        mean = found.add(f"{name}: mean |cos| over {record['pairs']} pairs", record["mean"])
        error = found.add(f"{name}: its standard error", record["standard_error"])
        expected = found.add(f"{name}: sqrt(2 / (pi n))", record["expected"])
        found.add(f"{name}: without the root", expected.size**2)
        close = abs(mean.size - expected.size) <= ERRORS * error.size
        found.require(close, f"{name}: the mean |cos| is not the expected one")
    return found


def _between(path: Trajectory, start: float, end: float) -> Floats:
    """Return the displacement in the plane from one epoch to another, at the nearest checkpoints."""
    first, last = (int(np.abs(path.epoch - epoch).argmin()) for epoch in (start, end))
    return np.array([path.path_x[last] - path.path_x[first], path.path_y[last] - path.path_y[first]])


def _angle(first: Floats, second: Floats) -> float:
    scale = float(np.linalg.norm(first) * np.linalg.norm(second))
    cosine = float(first @ second) / scale if scale else 1.0
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


@dataclass(frozen=True)
class _Turns:
    """How one path turns: mean |cos| of step and gradient early and late, and the angle in degrees at the drop."""

    early: float
    late: float
    kink: float
    gap: int  # epochs between checkpoints, at most
    checkpoints: tuple[int, int]  # early and late


def _turns(results: Results, name: str) -> _Turns:
    path = trajectory(results, name)
    if not path.drops:
        raise MissingError(f"a drop of the learning rate on the trajectory {name}")
    drops = [float(epoch) for epoch in path.drops]
    drop, following = drops[0], (drops[1] if len(drops) > 1 else float(path.epoch[-1]))
    known = np.isfinite(path.alignment)
    early = path.alignment[known & (path.epoch <= PART * drop)]
    late = path.alignment[known & (path.epoch > (1 - PART) * drop) & (path.epoch <= drop)]
    if not len(early) or not len(late):
        raise MissingError(f"checkpoints early and late at the initial rate on the trajectory {name}")
    kink = _angle(_between(path, (1 - PART) * drop, drop), _between(path, drop, following))
    counts = len(early), len(late)
    return _Turns(float(early.mean()), float(late.mean()), kink, int(np.diff(path.epoch).max()), counts)


def turns(results: Results) -> Evidence:
    """Look at the path's angle to the gradient early and late at the initial rate, and its turn at the first drop."""
    _turns(results, "vgg9")
    paths, lost = available(lambda seed: _turns(results, seed), seeds_of("vgg9", results.trajectories))
    found, seeds = Evidence(notes=[f"left out: {reason}" for reason in lost]), list(paths.values())
    found.add("epochs between checkpoints, at most", max(seed.gap for seed in seeds))
    quarter = "vgg9: mean |cos| of step and gradient, first quarter at the first rate"
    across = found.add(quarter, [seed.early for seed in seeds])
    found.add("checkpoints in that quarter", min(seed.checkpoints[0] for seed in seeds))
    along = found.add("vgg9: the same, last quarter at the first rate", [seed.late for seed in seeds])
    found.add("checkpoints in that quarter", min(seed.checkpoints[1] for seed in seeds))
    kink = found.add("vgg9: turn at the first drop", [seed.kink for seed in seeds], "degrees")
    found.require(across.size > RANDOM, "early steps do not run across the contours more than random ones")
    found.require(along.size < RANDOM, "late steps do not run along the contours more than random ones")
    found.require(kink.size >= KINK, "the path has no kink at the first drop")
    return found


RULES = (
    Rule(
        "sec7_pca_two_dims",
        "For each of the eight VGG-9 trajectories the first two principal components must hold between "
        f"{100 * LOW:g} and {100 * HIGH:g} % of the variation, in the mean over seeds where runs were repeated.",
        pca_two_dims,
        ("figure-9",),
    ),
    Rule(
        "sec7_random_dirs_fail",
        f"Two random directions must capture less than {100 * NOTHING:g} % of the variation of VGG-9's path, and "
        f"on every probed network the mean |cos| of Gaussian vectors must be sqrt(2 / (pi n)) within {ERRORS:g} "
        "standard errors.",
        random_directions_fail,
        ("figure-8", "random-cosines"),
    ),
    Rule(
        "path_turns",
        "VGG-9, SGD, small batch, weight decay, in the plane of Figure 9, in the mean over seeds where runs were "
        "repeated. The mean |cos| between a step and the "
        "loss gradient must be above that of a random angle, 2 / pi, in the first quarter of the epochs at the "
        f"initial rate and below it in the last quarter; at the first drop the path must turn by at least {KINK:g} "
        "degrees (displacement of that last quarter against that up to the next drop). A step is that between two "
        "stored checkpoints.",
        turns,
        ("figure-9",),
    ),
)
