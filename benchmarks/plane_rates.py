"""Exact planes: whole points per second with all cores busy, beside the plain loop and the matrix product rate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

import cases
import plain
from crew import Crew
from limit import best_matrix_rate
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.landscape.points import displaced, measured
from options import Options
from pairing import quotients, spread

# points of a plane from -1 to 1: the centre first, then in a fixed random order
_POINTS = [(0.0, 0.0), *np.random.default_rng(0).uniform(-1, 1, (200, 2)).tolist()]


class Station:
    """A worker process with a network and images, which evaluates points in our way and in the plain one."""

    def __init__(self, index: int, network: str, folder: str | None, images: int, engine: dict[str, Any]) -> None:
        """Load everything; the processes evaluate different points."""
        self.index, self.model = index, cases.network(network)
        self.images = cases.images(folder, images)
        self.directions = cases.axes(self.model)
        self.state = {name: tensor.clone() for name, tensor in model_state(self.model).items()}
        self.data = self.images.normalized()
        self.evaluator = Evaluator(self.model, {"train": self.data}, **engine)
        self.weights, self.moves = cases.listed(self.model, self.directions)
        self.net = cases.network(network)
        self.loader = plain.loader(self.images.pixels, self.images.labels)

    def _points(self, first: int, count: int) -> list[tuple[float, float]]:
        start = self.index + first
        return [_POINTS[(start + k) % len(_POINTS)] for k in range(count)]

    def ours(self, first: int, count: int) -> list[tuple[float, float]]:
        """Return loss and accuracy at points, as `lossatlas.plane` finds them one after the other."""
        found = [
            measured(self.evaluator, displaced(self.state, self.directions, at)) for at in self._points(first, count)
        ]
        return [(point["train_loss"], point["train_accuracy"]) for point in found]

    def plain(self, first: int, count: int) -> list[tuple[float, float]]:
        """Return loss and accuracy at the same points, found in the plain way."""
        found = []
        for at in self._points(first, count):
            plain.move(self.net, self.weights, self.moves, at)
            found.append(plain.loss_and_accuracy(self.net, self.loader))
        return found

    def matrix(self, seconds: float) -> float:
        """Return the matrix product rate, operations per second."""
        return best_matrix_rate(seconds)

    def throughput(self, batch_size: int, seconds: float, engine: dict[str, Any]) -> float:
        """Return images per second of our forward passes in batches of one size."""
        some = tuple(part[: 4 * batch_size] for part in self.data)
        evaluator = Evaluator(self.model, {"train": some}, **{**engine, "batch_size": batch_size})
        evaluator.measure("train")
        count, begin = 0, time.perf_counter()
        while (took := time.perf_counter() - begin) < seconds or not count:
            evaluator.measure("train")
            count += 1
        return count * len(some[1]) / took

    def operations(self) -> float:
        """Return the operations for one image."""
        return cases.operations(self.model, self.images.pixels)


def measure(options: Options) -> dict[str, Any]:
    """Return the figures of every network."""
    sizes = options.sizes
    return {
        "images": sizes["images"],
        "source": cases.images(options.folder, sizes["images"]).source,
        "workers": options.workers,
        "engine": sizes["engine"] or "defaults",
        "networks": {name: _network(name, options) for name in sizes["networks"]},
    }


def _network(name: str, options: Options) -> dict[str, Any]:
    sizes, workers = options.sizes, options.workers
    images, engine = sizes["images"], sizes["engine"]
    kept: dict[str, list[float]] = {
        key: [] for key in ("ours", "plain", "matrix", "ours_alone", "plain_alone", "matrix_alone")
    }
    pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    with Crew(workers, Station, name, options.folder, images, engine) as crew:
        work = crew.run("operations", only=1)[0][0] * images
        crew.run("throughput", 32, 0.2, engine)  # warm
        for turn in range(options.rounds):
            for count, suffix in ((workers, ""), (1, "_alone")):
                # the limit before and after what is compared with it
                limits = [_limit(crew, count, sizes)]
                ours, seconds = crew.run("ours", turn * workers, 1, only=count)
                kept[f"ours{suffix}"].append(count / seconds)
                limits.append(_limit(crew, count, sizes))
                kept[f"matrix{suffix}"].append(sum(limits) / 2)
                usual, seconds = crew.run("plain", turn * workers, 1, only=count)
                kept[f"plain{suffix}"].append(count / seconds)
                pairs += zip(sum(ours, []), sum(usual, []), strict=True)
            options.say(f"{name}: round {turn + 1} of {options.rounds}, {kept['ours'][-1] / kept['plain'][-1]:.2f} x")
        rates = {}
        for batch_size in sizes["batch_sizes"]:
            rates[str(batch_size)] = sum(crew.run("throughput", batch_size, sizes["batch_seconds"], engine)[0])
    return {
        "gigaoperations_per_image": work / images / 1e9,
        "points_per_second": {key: spread(kept[key]) for key in ("ours", "plain")},
        "ratio": quotients(kept["ours"], kept["plain"]),
        "fraction_of_matrix_rate": quotients([rate * work for rate in kept["ours"]], kept["matrix"]),
        "matrix_gigaoperations_per_second": spread([rate / 1e9 for rate in kept["matrix"]]),
        "one_process": {
            "ratio": quotients(kept["ours_alone"], kept["plain_alone"]),
            "fraction_of_matrix_rate": quotients([rate * work for rate in kept["ours_alone"]], kept["matrix_alone"]),
            "matrix_gigaoperations_per_second": spread([rate / 1e9 for rate in kept["matrix_alone"]]),
        },
        "largest_relative_difference": max(abs(mine[0] / theirs[0] - 1) for mine, theirs in pairs),
        "points_of_unequal_accuracy": sum(mine[1] != theirs[1] for mine, theirs in pairs),
        "points_compared": workers * options.rounds,
        "images_per_second_by_batch_size": rates,
    }


def _limit(crew: Crew, count: int, sizes: Mapping[str, Any]) -> float:
    return sum(crew.run("matrix", sizes["matrix_seconds"], only=count)[0])
