"""How long the short study takes part by part on a GPU, on paper: what each part computes, at given or measured rates.

Usage: PYTHONPATH=src:benchmarks python benchmarks/short_study.py [--gpu reports/bench/gpu.jsonl] [--out PAGE]

The parts are the groups of `examples/gpu/groups.txt`. A network's images are counted as operations of its convolutions
and linear layers. Without `gpu.jsonl` the rates are those of the project's targets for ResNet-56: nothing is measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import cases
from lossatlas.config import compose
from lossatlas.files import write_text
from lossatlas.models import build
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.plan import make_task
from lossatlas.stages.task import Key
from lossatlas.stages.workload import Counts, workload
from tables import number, table

GROUPS = cases.ROOT / "examples" / "gpu" / "groups.txt"
PAGE = cases.ROOT / "reports" / "bench" / "short-study.md"
# weights of every epoch would be too much to carry; Fig. 8 and 9 need them and are not among the groups
PRESET = ("preset=cifar-short", "sizes.checkpoint_every=30", "datasets.cifar10.root=anywhere")
CIFAR = Counts(train=50_000, test=10_000, size=32, classes=10)
# the targets: seconds of a point of ResNet-56 over 50,000 images, and of an epoch of its training on them
POINT, EPOCH, IMAGES = 0.15, 3.0, 50_000
# a product with the Hessian is two passes backward through two forward
PRODUCT = 2.0  # in training steps


@dataclass(frozen=True)
class Rates:
    """Seconds per operation of a forward pass and per forward operation of a training step, and where they are from."""

    evaluated: float
    trained: float
    source: str


@dataclass(frozen=True)
class Part:
    """A group: its stages with those they need, images in all, seconds, and bytes of weights that come back."""

    name: str
    stages: tuple[Key, ...]
    evaluated: int
    trained: int
    products: int
    seconds: float
    bytes: int


def groups(file: Path = GROUPS) -> dict[str, list[Key]]:
    """Return the stages of each group.

    Raises:
        ValueError: a line is no row of kinds and names.
    """
    found: dict[str, list[Key]] = {}
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, words = line.partition(": ")
            stages = words.split()
            if not stages or len(stages) % 2:
                raise ValueError(f"{file}: {line!r} is no name, colon and row of kinds and names")
            found[name] = list(zip(stages[::2], stages[1::2], strict=True))
    return found


def rates(gpu: Mapping[str, Any], operations: float) -> Rates:
    """Return the rates from what `gpu.py` measured, or those of the targets; `operations` are those of ResNet-56."""
    if {"plane", "training"} <= gpu.keys():
        point, epoch = (gpu["plane"]["seconds_per_point"]["median"], gpu["training"]["seconds_per_epoch"]["median"])
        counts, source = (gpu["plane"]["images"], gpu["training"]["images"]), "measured on ResNet-56"
    else:
        point, epoch, counts, source = POINT, EPOCH, (IMAGES, IMAGES), "the targets for ResNet-56, nothing measured"
    return Rates(point / counts[0] / operations, epoch / counts[1] / operations, source)


class Networks:
    """Operations per image and number of weights of a preset's networks."""

    def __init__(self, params: Params) -> None:
        """Take the networks of a preset."""
        self._params = params
        self._found: dict[str, tuple[float, int]] = {}

    def __call__(self, run: str) -> tuple[float, int]:
        """Return both of a run's network."""
        model = self._params.runs[run].model
        key = f"{model.family} {sorted(model.options.items())}"
        if key not in self._found:
            built = build(model.family, **({"num_classes": CIFAR.classes, "input_size": CIFAR.size} | model.options))
            pixels = torch.zeros(1, 3, CIFAR.size, CIFAR.size, dtype=torch.uint8)
            self._found[key] = (cases.operations(built, pixels), sum(p.numel() for p in built.parameters()))
        return self._found[key]


def parts(params: Params, workspace: Workspace, gpu: Mapping[str, Any]) -> tuple[list[Part], Rates]:
    """Return the groups in order; a stage that several need counts in the first."""
    network = Networks(params)
    rate = rates(gpu, network("resnet56")[0])
    done: set[Key] = set()
    found = []
    for name, keys in groups().items():
        needed = dict.fromkeys(key for wanted in keys for key in _needs(workspace, params, wanted) if key not in done)
        done |= needed.keys()
        found.append(_part(name, tuple(needed), params, network, rate))
    return found, rate


def _needs(workspace: Workspace, params: Params, key: Key) -> Iterator[Key]:
    """Yield a stage after those it needs; data sets are read, not computed."""
    for item in make_task(workspace, params, key).inputs.values():
        yield from _needs(workspace, params, item.key)
    if key[0] != "data":
        yield key


def _part(name: str, keys: tuple[Key, ...], params: Params, network: Networks, rate: Rates) -> Part:
    evaluated = trained = products = kept = 0
    seconds = 0.0
    for key in keys:
        work = workload(params, key, dict.fromkeys(params.datasets, CIFAR))
        if work is None:
            continue
        operations, weights = network(work.run)
        evaluated, trained, products = evaluated + work.evaluated, trained + work.trained, products + work.products
        steps = (work.trained + PRODUCT * work.products) * rate.trained
        seconds += operations * (work.evaluated * rate.evaluated + steps)
        kept += 4 * weights * _copies(params, key)
    return Part(name, keys, evaluated, trained, products, seconds, kept)


def _copies(params: Params, key: Key) -> int:
    """Return how many weight vectors a stage leaves, about."""
    if key[0] == "train":
        run = params.runs[key[1]].train
        return 1 + len(run.checkpoints) + (-(-run.epochs // run.checkpoint_every) if run.checkpoint_every else 0)
    if key[0] == "fge":
        cycles = params.fges[key[1]]
        return max(1, cycles.epochs // cycles.cycle_epochs)
    return 3 if key[0] == "curve" else 0


def page(found: list[Part], rate: Rates) -> str:
    """Return the table as Markdown."""
    rows = [
        [
            part.name,
            str(len(part.stages)),
            *(f"{count / 1e6:,.1f}" for count in (part.trained, part.evaluated, part.products)),
            f"{part.seconds / 60:,.1f}",
            f"{part.bytes / 2**20:,.0f}",
        ]
        for part in found
    ]
    rows.append(["all", str(sum(len(part.stages) for part in found)), "", "", "",
                 f"{sum(part.seconds for part in found) / 60:,.1f}", ""])  # fmt: skip
    images = [f"10^6 images {way}" for way in ("trained on", "evaluated", "in Hessian products, at most")]
    header = ["group", "stages", *images, "minutes", "MiB of weights"]
    return (
        f"Rates: {rate.source}; {number(1e-12 / rate.evaluated)} tera-operations per second forward, "
        f"{number(3e-12 / rate.trained)} in training.\n\n{table(header, rows)}\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", type=Path, default=cases.ROOT / "reports" / "bench" / "gpu.jsonl")
    parser.add_argument("--out", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    lines = chosen.gpu.read_text().splitlines() if chosen.gpu.is_file() else []
    gpu = {entry["part"]: entry for entry in map(json.loads, lines)}
    params = compose(cases.ROOT / "conf", PRESET)[0]
    found, rate = parts(params, Workspace(cases.ROOT), gpu)
    write_text(chosen.out, page(found, rate))
    print(chosen.out)


if __name__ == "__main__":
    main()
