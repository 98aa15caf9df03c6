"""Hessian maps: seconds a point and residuals, beside two plain Lanczos runs at each point."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

import cases
import plain
from lossatlas.landscape import points
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.hessian import hessian_map
from lossatlas.landscape.lanczos import allowed_residual
from options import Options
from pairing import in_turn, quotients, spread

Ends = dict[str, list[float]]
_ENDS = ("lambda_max", "lambda_min")
_KEYS = ("lambda_max", "lambda_min", "residual_max", "residual_min", "products")


@contextmanager
def after_each_point(call: Callable[[], None]) -> Iterator[list[float]]:
    """Call something after each point of a map; yields the seconds of each point without those of the call."""
    seconds: list[float] = []
    before = points.progress

    @contextmanager
    def counted(*_: Any, **__: Any) -> Iterator[Callable[[int], None]]:
        begin = time.perf_counter()

        def advance(_steps: int) -> None:
            nonlocal begin
            seconds.append(time.perf_counter() - begin)
            call()
            begin = time.perf_counter()

        yield advance

    points.progress = counted
    try:
        yield seconds
    finally:
        points.progress = before


class Plain:
    """The plain way on the same images: each point from a fresh random start."""

    def __init__(self, way: str, name: str, images: cases.Images) -> None:
        """Load the network and the images; `way` is a key of `plain.WAYS`."""
        self.way = way
        self.net = cases.network(name)
        self.loader = plain.loader(images.pixels, images.labels, batch_size=len(images))
        self.weights, self.moves = cases.listed(self.net, cases.axes(self.net))
        self.size = sum(p.numel() for p in self.net.parameters() if p.dim() > 1)
        self.rng = np.random.default_rng(0)
        self.seconds: list[float] = []
        self.found: dict[str, list[float]] = {key: [] for key in _KEYS}

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return a Hessian-vector product."""
        return plain.hessian_product(self.net, self.loader, vector)

    def point(self, at: tuple[float, float], tolerance: float) -> None:
        """Find both ends at a point; keep them with the time they took, and their residuals."""
        plain.move(self.net, self.weights, self.moves, at)
        begin = time.perf_counter()
        ends = plain.WAYS[self.way](self.product, self.size, tolerance=tolerance, rng=self.rng)
        self.seconds.append(time.perf_counter() - begin)
        rests = [plain.residual(self.product, *end) for end in zip(ends.values, ends.vectors, strict=True)]
        for key, value in zip(_KEYS, (*ends.values, *rests, ends.products), strict=True):
            self.found[key].append(value)


def measure(options: Options) -> dict[str, Any]:
    """Return the figures of a map beside each plain way, and of single products."""
    torch.set_num_threads(1)
    sizes = options.sizes
    name, tolerance = sizes["network"], sizes["tolerance"]
    images = cases.images(options.folder, sizes["images"])
    model = cases.network(name)
    others = [Plain(way, name, images) for way in sizes["ways"]]
    steps = np.linspace(-sizes["reach"], sizes["reach"], sizes["points"])
    grid = itertools.product(steps, steps)
    options.say(f"{name}: {sizes['points']} x {sizes['points']} points, {len(images)} images")

    def plain_point() -> None:
        at = next(grid)
        for other in others:
            other.point(at, tolerance)
        times = ", ".join(f"{other.way} {other.seconds[-1]:.1f} s" for other in others)
        options.say(f"point {len(seconds)}: {seconds[-1]:.1f} s, {times}")

    with after_each_point(plain_point) as seconds:
        found = hessian_map(
            model,
            images.normalized(),
            directions=cases.axes(model),
            x=steps,
            y=steps,
            batch_size=len(images),
            tolerance=sizes["stricter"] * tolerance,
        )
    ours = {key: getattr(found, key).ravel().tolist() for key in _KEYS}
    rests = _relative_residuals(ours, tolerance)
    return {
        "network": name,
        "images": len(images),
        "source": images.source,
        "points": len(seconds),
        "tolerance": tolerance,
        "our_tolerance": sizes["stricter"] * tolerance,
        "ours": {
            "seconds_per_point": spread(seconds),
            "products_per_point": spread(ours["products"]),
            "residual_over_tolerance": {end: spread(rests[end]) for end in _ENDS},
            "converged": int(found.converged.sum()),
            **ours,
        },
        "plain": {other.way: _compared(other, seconds, rests, tolerance) for other in others},
        "product": _products(model, images, others[0], options.rounds),
    }


def _compared(other: Plain, seconds: list[float], rests: Ends, tolerance: float) -> dict[str, Any]:
    """Return the figures of a plain way, and ours in relation to them."""
    theirs = _relative_residuals(other.found, tolerance)
    return {
        "ratio": quotients(other.seconds, seconds),
        # of the whole map, whatever the order of its points
        "ratio_of_totals": sum(other.seconds) / sum(seconds),
        "seconds_per_point": spread(other.seconds),
        "products_per_point": spread(other.found["products"]),
        "residual_over_tolerance": {end: spread(theirs[end]) for end in _ENDS},
        "residual_ratio": {end: max(rests[end]) / max(theirs[end]) for end in _ENDS},
        "residual_ratio_of_medians": {end: float(np.median(rests[end]) / np.median(theirs[end])) for end in _ENDS},
        **other.found,
    }


def _relative_residuals(found: Mapping[str, list[float]], tolerance: float) -> Ends:
    """Return the residuals of each end in units of what the tolerance allows."""
    values = list(zip(found["lambda_max"], found["lambda_min"], strict=True))
    allowed = {
        "lambda_max": [allowed_residual(high, low, tolerance) for high, low in values],
        "lambda_min": [allowed_residual(low, high, tolerance) for high, low in values],
    }
    rests = {"lambda_max": found["residual_max"], "lambda_min": found["residual_min"]}
    return {end: [rest / most for rest, most in zip(rests[end], allowed[end], strict=True)] for end in _ENDS}


def _products(model: torch.nn.Module, images: cases.Images, other: Plain, rounds: int) -> dict[str, Any]:
    """Time one product in each way at the centre, and compare the results."""
    plain.move(other.net, other.weights, other.moves, (0.0, 0.0))
    operator = HessianOperator(model, images.normalized(), batch_size=len(images))
    vector = torch.from_numpy(np.random.default_rng(1).standard_normal(operator.size))
    calls = {
        "ours": lambda: operator.product(vector).numpy(),
        "plain": lambda: other.product(vector.numpy()),
        "forward over reverse": lambda: plain.forward_over_reverse(other.net, other.loader, vector.numpy()),
    }
    in_turn(calls, rounds=1)
    results, seconds = in_turn(calls, rounds=rounds)
    mine = results["ours"][0]
    others = [way for way in calls if way != "ours"]
    return {
        "seconds": {key: spread(values) for key, values in seconds.items()},
        "ratio": {way: quotients(seconds[way], seconds["ours"]) for way in others},
        "relative_difference": {
            way: float(np.linalg.norm(mine - results[way][0]) / np.linalg.norm(results[way][0])) for way in others
        },
    }
