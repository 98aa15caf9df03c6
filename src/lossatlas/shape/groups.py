"""Measures over groups of runs: how they go with test error, and how they spread over seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np

from lossatlas.shape.measures import MEASURES
from lossatlas.shape.ranks import rank_correlation

# the families of runs whose ranks are compared
GROUPS: Mapping[str, re.Pattern[str]] = {
    # the eight minimizers of one network; the same network trained otherwise, with cycles say, is no ninth
    "vgg9": re.compile(r"vgg9(_adam)?(_large)?(_nowd)?"),
    "resnet56": re.compile(r"resnet56(_adam)?(_large)?(_nowd)?"),
    "all": re.compile(r".*"),
}
# share of the loss of guessing: a run that ends above it has learnt nothing, and lies on a plateau, not in a minimum
UNTRAINED = 0.9
_SEED = re.compile(r"_seed\d+$")


def has_learnt(train_loss: float, classes: int) -> bool:
    """Tell whether a final training loss is clearly below that of guessing among so many classes."""
    return train_loss < UNTRAINED * math.log(classes)


def correlations(runs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the rank correlation of each measure with `test_error` over the runs of each group.

    Repeats with other seeds do not count as runs, nor do those whose `learnt` is false: about weights that have learnt
    nothing the loss is flat, and their error is the largest.
    """
    counted = {name: run for name, run in runs.items() if run.get("learnt", True) and not _SEED.search(name)}
    return {
        group: {
            measure: rank_correlation([run.get(measure, math.nan) for run in chosen], [r["test_error"] for r in chosen])
            for measure in MEASURES
        }
        for group, pattern in GROUPS.items()
        for chosen in [[run for name, run in counted.items() if pattern.fullmatch(name)]]
    }


def spread(runs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the standard deviation of each measure and of `test_error` over a run and its `_seedN` repeats.

    A run without repeats is left out; `seeds` counts the trainings. A measure with a NaN or an `inf` among them has no
    spread (NaN).
    """
    found: dict[str, dict[str, float]] = {}
    for base in dict.fromkeys(_SEED.sub("", name) for name in runs):
        repeats = [run for name, run in runs.items() if _SEED.sub("", name) == base]
        if len(repeats) > 1:
            values = {m: np.array([run.get(m, math.nan) for run in repeats]) for m in ("test_error", *MEASURES)}
            stds = {m: float(v.std(ddof=1)) if np.isfinite(v).all() else math.nan for m, v in values.items()}
            found[base] = {"seeds": len(repeats), **stds}
    return found
