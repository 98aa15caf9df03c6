"""Training: seconds an epoch with all cores busy, beside the usual loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import cases
import plain
from crew import Crew
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe
from options import Options
from pairing import quotients, spread


@dataclass(frozen=True)
class Splits:
    """Raw images to train and to test on."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


class Station:
    """A worker process that trains the same network in both ways."""

    def __init__(self, index: int, network: str, folder: str | None, images: int, tests: int, batch_size: int) -> None:
        """Load the images."""
        self.network, self.batch_size = network, batch_size
        self.train, self.test = cases.images(folder, images), cases.images(folder, tests, split="test")
        self.splits = Splits(self.train.pixels, self.train.labels, self.test.pixels, self.test.labels)
        torch.manual_seed(index)

    def ours(self) -> tuple[float, float]:
        """Return the seconds of an epoch and of the evaluation after it."""
        recipe = Recipe(epochs=1, batch_size=self.batch_size, augment={"padding": 4, "flip": True})
        model = cases.network(self.network)
        _, seconds = train(model, self.splits, recipe, seed=0, keep=lambda epoch, learned: None)
        # row 0 is the evaluation alone, row 1 an epoch and its evaluation
        return seconds[1] - seconds[0], seconds[0]

    def plain(self) -> tuple[float, float]:
        """Return the same of the usual loop."""
        net = cases.network(self.network)
        pixels, labels = self.train.pixels, self.train.labels
        shuffled = plain.loader(pixels, labels, batch_size=self.batch_size, training=True)
        loaders = [plain.loader(part.pixels, part.labels) for part in (self.train, self.test)]
        optimizer = plain.make_optimizer(net, lr=0.1)
        begin = time.perf_counter()
        plain.train_epoch(net, shuffled, optimizer)
        middle = time.perf_counter()
        for loader in loaders:
            plain.loss_and_accuracy(net, loader)
        return middle - begin, time.perf_counter() - middle


def measure(options: Options) -> dict[str, Any]:
    """Return seconds per epoch, with and without the evaluation after it."""
    sizes = options.sizes
    kept: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    arguments = (sizes["network"], options.folder, sizes["images"], sizes["tests"], sizes["batch_size"])
    with Crew(options.workers, Station, *arguments) as crew:
        crew.run("ours")  # warm
        for turn in range(options.rounds):
            for way, values in kept.items():
                replies, _ = crew.run(way)
                values.append((max(r[0] for r in replies), max(r[1] for r in replies)))
            ratio = sum(kept["plain"][-1]) / sum(kept["ours"][-1])
            options.say(f"{sizes['network']}: round {turn + 1} of {options.rounds}, {ratio:.2f} x")
    whole = {way: [sum(pair) for pair in values] for way, values in kept.items()}
    epoch = {way: [pair[0] for pair in values] for way, values in kept.items()}
    return {
        "network": sizes["network"],
        "images": sizes["images"],
        "test_images": sizes["tests"],
        "batch_size": sizes["batch_size"],
        "source": cases.images(options.folder, sizes["images"]).source,
        "workers": options.workers,
        "seconds_per_epoch": {way: spread(values) for way, values in whole.items()},
        "seconds_of_training_alone": {way: spread(values) for way, values in epoch.items()},
        "ratio": quotients(whole["plain"], whole["ours"]),
        "ratio_of_training_alone": quotients(epoch["plain"], epoch["ours"]),
    }
