"""Timings of several ways to do one thing, taken in turn so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def timed(call: Callable[[], Any], *, device: str = "cpu") -> tuple[Any, float]:
    """Return what `call` gives and the seconds it takes, its work on a GPU included."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = call()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def in_turn(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int, device: str = "cpu"
) -> tuple[dict[str, list[Any]], dict[str, list[float]]]:
    """Call each in turn, `rounds` times; return the results and the seconds by name."""
    results: dict[str, list[Any]] = {name: [] for name in calls}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            result, took = timed(call, device=device)
            results[name].append(result)
            seconds[name].append(took)
    return results, seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, extremes and number of values."""
    kept = [float(f"{value:.6g}") for value in values]
    return {
        "median": float(f"{statistics.median(kept):.6g}"),
        "lowest": min(kept),
        "highest": max(kept),
        "rounds": len(kept),
    }


def quotients(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Return the spread of the quotients of values that were taken in the same round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
