"""Learning rates as pure functions of the optimizer step, counted 1, 2, ..., total."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Schedule = Callable[[int], float]
ScheduleKind = Literal["constant", "step_drops", "cosine_cycles", "fge_triangle", "piecewise_linear"]

LI_FRACTIONS = (1 / 2, 3 / 4, 11 / 12)  # Li et al. 2018: epochs 150, 225 and 275 of 300

# options of each schedule: those it needs, those it may have
_OPTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "constant": ((), ()),
    "step_drops": ((), ("fractions", "factor")),
    "cosine_cycles": (("cycles",), ()),
    "fge_triangle": (("low", "cycle_epochs"), ()),
    "piecewise_linear": ((), ("flat", "end", "last")),
}


def constant(*, lr: float) -> Schedule:
    """Return the schedule that always gives `lr`."""
    return lambda _step: lr


def step_drops(*, lr: float, drops: Sequence[int], factor: float = 0.1) -> Schedule:
    """Multiply `lr` by `factor` after each of the steps `drops` (Li et al. 2018: epochs 150, 225 and 275)."""
    return lambda step: lr * factor ** sum(step > drop for drop in drops)


def cosine_cycles(*, lr: float, total: int, cycles: int) -> Schedule:
    """Anneal `lr` to about zero in equal cosine cycles (Huang et al. 2017, equation 2).

    alpha(t) = lr/2 (cos(pi mod(t-1, ceil(T/M)) / ceil(T/M)) + 1), with T = `total` steps and M = `cycles`.
    """
    length = math.ceil(total / cycles)
    return lambda step: lr / 2 * (math.cos(math.pi * ((step - 1) % length) / length) + 1)


def fge_triangle(*, high: float, low: float, cycle: int) -> Schedule:
    """Go linearly from `high` to `low` and back in every `cycle` steps (Garipov et al. 2018, section 4).

    With t(i) = (mod(i-1, c) + 1) / c the rate is (1-2t) high + 2t low up to t = 1/2, then (2-2t) low + (2t-1) high:
    the lowest rate is met in the middle of a cycle.
    """

    def rate(step: int) -> float:
        t = ((step - 1) % cycle + 1) / cycle
        return (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high

    return rate


def piecewise_linear(*, lr: float, total: int, flat: float = 0.5, end: float = 0.9, last: float = 0.01) -> Schedule:
    """Keep `lr` until `flat` of the budget, go linearly to `last * lr` at `end`, then stay (Garipov et al. 2018)."""

    def rate(step: int) -> float:
        done = (step - 1) / total
        if done <= flat:
            return lr
        return lr * (last if done >= end else 1 - (1 - last) * (done - flat) / (end - flat))

    return rate


def make_schedule(
    kind: ScheduleKind, *, lr: float, epochs: int, steps_per_epoch: int, options: Mapping[str, Any] | None = None
) -> Schedule:
    """Return the named schedule for a training of `epochs`; lengths given in epochs or fractions become steps.

    Args:
        kind: the schedule's name.
        lr: initial (highest) learning rate.
        epochs: length of the training.
        steps_per_epoch: optimizer steps in an epoch.
        options: `fractions` of the epochs after which the rate drops (default: Li et al. 2018), and `factor`
            (step_drops); `cycles` (cosine_cycles); `low` and `cycle_epochs` (fge_triangle); `flat`, `end`, `last`
            (piecewise_linear).

    Raises:
        ValueError: an unknown schedule, or an option that it does not have or lacks.
    """
    given = dict(options or {})
    _check(kind, given)
    total = epochs * steps_per_epoch
    if kind == "constant":
        return constant(lr=lr)
    if kind == "step_drops":
        # a short training has one epoch at the full rate whatever its fractions round to
        after = [max(1, round(part * epochs)) for part in given.pop("fractions", LI_FRACTIONS)]
        drops = [epoch * steps_per_epoch for epoch in after]
        return step_drops(lr=lr, drops=drops, **given)
    if kind == "cosine_cycles":
        return cosine_cycles(lr=lr, total=total, **given)
    if kind == "fge_triangle":
        cycle = given.pop("cycle_epochs") * steps_per_epoch
        return fge_triangle(high=lr, cycle=cycle, **given)
    return piecewise_linear(lr=lr, total=total, **given)


def _check(kind: str, given: Mapping[str, Any]) -> None:
    if kind not in _OPTIONS:
        raise ValueError(f"schedule {kind!r} is unknown; known: {', '.join(_OPTIONS)}")
    needed, optional = _OPTIONS[kind]
    if missing := set(needed) - set(given):
        raise ValueError(f"schedule {kind} needs the option {min(missing)!r}")
    if foreign := set(given) - {*needed, *optional}:
        allowed = ", ".join((*needed, *optional)) or "none"
        raise ValueError(f"schedule {kind} has no option {min(foreign)!r}; allowed: {allowed}")
