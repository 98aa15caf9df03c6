"""Claims about the size of the weights (Figures 2 and 10)."""

from __future__ import annotations

import numpy as np

from lossatlas.report.artefacts import Results, Run
from lossatlas.report.claims.inputs import available, finished, gather, repeats
from lossatlas.report.claims.rule import Evidence, MissingError, Number, Rule
from lossatlas.results import Floats, WeightHistogram

PAIRS = {"": ("vgg9", "vgg9_large"), "_nowd": ("vgg9_nowd", "vgg9_large_nowd")}  # small and large batch
STEADY = 0.9  # of the epochs: a curve that falls in one of ten still reads as growing
EARLY = 0.25  # of training: "fast" is half of the fall within it; "settled" is the same length at the end
SETTLED = 0.1  # of the whole change: what is left at most when a curve has settled
# Per epoch the two batches differ by their ratio, 16 to 64 times: within half as much again they are the same
SAME = 1.5


def _rising(run: Run) -> tuple[float, float]:
    """Return the share of epochs in which the norm rises, and its final value in multiples of the first."""
    norm = run.history.weight_norm
    return float(np.mean(np.diff(norm) > 0)), float(norm[-1] / norm[0])


def _falling(run: Run) -> tuple[float, float, float]:
    """Return the fall (share of the first norm), the part of it that came early, and the part that changes late."""
    norm = run.history.weight_norm
    fall = norm[0] - norm.min()
    if fall <= 0:
        return 0.0, 0.0, float("inf")
    last = len(norm) - 1
    early, late = norm[: round(EARLY * last) + 1], norm[round((1 - EARLY) * last) :]
    return float(fall / norm[0]), float((norm[0] - early.min()) / fall), float(abs(late[-1] - late[0]) / fall)


def norm_during_training(results: Results) -> Evidence:
    """Look at the weight norm of the four SGD runs against epochs."""
    gather(lambda run: finished(results, run), (*PAIRS[""], *PAIRS["_nowd"]))
    found = Evidence()
    for name in PAIRS["_nowd"]:
        rises, ratios = zip(*(_rising(run) for run in repeats(results, name)), strict=True)
        rise = found.add(f"{name}: epochs in which the norm rises", [100 * value for value in rises], "%")
        ratio = found.add(f"{name}: final norm over initial", ratios)
        found.require(ratio.size > 1 and rise.size >= 100 * STEADY, f"the norm of {name} does not grow steadily")
    for name in PAIRS[""]:
        falls, early, late = zip(*(_falling(run) for run in repeats(results, name)), strict=True)
        fall = found.add(f"{name}: fall of the norm", [100 * value for value in falls], "% of the initial norm")
        fast = found.add(f"{name}: part of it in the first quarter", [100 * value for value in early], "%")
        rest = found.add(
            f"{name}: change in the last quarter", [100 * value for value in late], "% of the fall", none="no fall"
        )
        found.require(fall.size > 0 and fast.size >= 50, f"the norm of {name} does not fall fast")
        found.require(rest.ceiling <= 100 * SETTLED, f"the norm of {name} does not settle")
    return found


def _histogram(run: Run) -> WeightHistogram:
    if run.weights is None:
        raise MissingError(f"no weight histogram of {run.name}")
    return run.weights


def _median(run: Run) -> float:
    found = _histogram(run)
    return float(found.quantile[int(np.abs(found.level - 0.5).argmin())])


def histogram(results: Results) -> Evidence:
    """Compare the final weights of small and large batches."""
    names = (*PAIRS["_nowd"], *PAIRS[""])
    gather(lambda name: _histogram(finished(results, name)), names)
    found, numbers = Evidence(), {}
    for name in names:
        runs = [run for run in repeats(results, name) if run.weights is not None]
        median = found.add(f"{name}: median absolute weight", [_median(run) for run in runs])
        numbers[name] = (median, found.add(f"{name}: norm", [float(run.history.weight_norm[-1]) for run in runs]))
    for small, large in zip(numbers["vgg9_nowd"], numbers["vgg9_large_nowd"], strict=True):
        found.greater(small, large)
    for small, large in zip(numbers["vgg9"], numbers["vgg9_large"], strict=True):
        found.greater(large, small)
    return found


def _first_phase(run: Run) -> Floats:
    """Return the norm before training and after each step at the initial learning rate."""
    rate = run.history.step_learning_rate
    if not len(rate):
        raise MissingError(f"no norms per iteration of {run.name}")
    lower = np.flatnonzero(rate < rate[0] * (1 - 1e-9))
    steps = int(lower[0]) if len(lower) else len(rate)
    return np.concatenate([run.history.weight_norm[:1], run.history.step_weight_norm[:steps]])


def _phases(results: Results, name: str) -> dict[str, Floats]:
    """Return the first phase of a run and of its repeats, by what their names add; the run's own must be there."""
    _first_phase(finished(results, name))
    runs = {run.name: run for run in repeats(results, name)}
    found, _ = available(lambda item: _first_phase(runs[item]), runs)
    return {item.removeprefix(name): phase for item, phase in found.items()}


def norm_per_iteration(results: Results) -> Evidence:
    """Compare the change of the norm over equal numbers of steps, and look whether it settles before the first drop."""
    phases = gather(lambda name: _phases(results, name), (*PAIRS["_nowd"], *PAIRS[""]))
    found = Evidence()
    for suffix, words in (("_nowd", "no weight decay"), ("", "weight decay")):
        small, large = (phases[name] for name in PAIRS[suffix])
        seeds = [seed for seed in small if seed in large]
        steps = min(len(phase[seed]) for phase in (small, large) for seed in seeds) - 1
        found.add(f"{words}: steps of both before the first drop", steps)
        pairs = [[float(phase[seed][steps] - phase[seed][0]) for phase in (small, large)] for seed in seeds]
        for batch, changes in zip(("small", "large"), zip(*pairs, strict=True), strict=True):
            found.add(f"{words}: change of the norm over them, {batch} batch", changes)
        ratios = [first / second if second else float("inf") for first, second in pairs]
        ratio = found.add(f"{words}: ratio of the changes", ratios, none="unbounded")
        same = ratio.size - (ratio.spread or 0.0) >= 1 / SAME and ratio.ceiling + (ratio.spread or 0.0) <= SAME
        found.require(same, f"{words}: the norms do not change at the same rate{_over(ratio)}")
    shares = [_late_share(norm) for norm in phases["vgg9"].values()]
    rest = found.add("vgg9: change in the last quarter before the first drop", shares, "% of the whole range")
    settled = rest.ceiling + (rest.spread or 0.0) <= 100 * SETTLED
    found.require(settled, f"with weight decay the norm has not settled when the learning rate drops{_over(rest)}")
    return found


def _late_share(norm: Floats) -> float:
    """Return the change in the last quarter, percent of the whole range."""
    late = norm[round((1 - EARLY) * (len(norm) - 1)) :]
    extent = float(norm.max() - norm.min())
    return 100 * abs(float(late[-1] - late[0])) / extent if extent else 0.0


def _over(number: Number) -> str:
    return f" (mean and spread of {number.n} seeds)" if number.n > 1 else ""


RULES = (
    Rule(
        "fig2_weight_norm",
        "VGG-9, SGD, both batches. Without weight decay the norm must end above its start and rise in at least "
        f"{100 * STEADY:g} % of the epochs. With it at least half of the fall to the lowest norm must come in the "
        f"first quarter of the epochs, and the last quarter change it by at most {100 * SETTLED:g} % of that fall.",
        norm_during_training,
        ("figure-2",),
    ),
    Rule(
        "fig2_weight_histogram",
        "VGG-9, SGD, final weights: median absolute weight and norm must both be larger for the small batch "
        "without weight decay and smaller with it, by more than the standard deviation over seeds where runs were "
        "repeated.",
        histogram,
        ("figure-2",),
    ),
    Rule(
        "norm_per_iteration",
        "VGG-9, SGD. Over the steps that both batches make at the initial rate their norms must change by the "
        f"same within a factor of {SAME:g}. With weight decay (small batch, which has the updates to settle) the "
        f"last quarter of that phase must move the norm by at most {100 * SETTLED:g} % of its range in the phase. "
        "Where runs were repeated, both must hold for the mean over seeds with a standard deviation on either side.",
        norm_per_iteration,
        ("figure-10",),
    ),
)
