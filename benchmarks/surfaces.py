"""Points per second of a plane, against the plain loop of the original program, and the largest difference in loss.

The plain loop writes each point into the network, then runs it batch by batch over a data loader, unfolded and in the
default memory format. Both evaluate the same points in turn, so the ratio holds on a busy machine.

Usage: python benchmarks/surfaces.py [--device cuda] [--network resnet56] [--images 1024] [--points 9]
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.surfaces import plane
from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator

NETWORKS = {
    "resnet20": {"family": "resnet", "depth": 20},
    "resnet56": {"family": "resnet", "depth": 56},
    "vgg9": {"family": "vgg", "depth": 9},
    "densenet121": {"family": "densenet", "depth": 121},
}


def plain_loop(model, data, directions, coordinates, *, batch_size, device):
    """Return the loss at each coordinate, as the published program computes it."""
    net = copy.deepcopy(model).to(device).eval()
    base = [p.detach().clone() for p in net.parameters()]
    names = [name for name, _ in net.named_parameters()]
    moves = [[d.tensors.get(n, torch.zeros(())).to(device) for n in names] for d in directions]
    loader = DataLoader(TensorDataset(*data), batch_size=batch_size, shuffle=False)
    losses = []
    with torch.no_grad():
        for x, y in coordinates:
            for parameter, start, dx, dy in zip(net.parameters(), base, *moves, strict=True):
                parameter.copy_(start + x * dx + y * dy)
            total = 0.0
            for images, labels in loader:
                loss = torch.nn.functional.cross_entropy(net(images.to(device)), labels.to(device))
                total += loss.item() * len(labels)
            losses.append(total / len(data[1]))
    return np.array(losses)


def timed(call, device):
    """Return what `call` gives and the seconds it takes."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    begin = time.perf_counter()
    result = call()
    wait()
    return result, time.perf_counter() - begin


def compare(network, *, device, images, points, rounds, batch_size):
    """Return the figures of one network."""
    draws = generator(0, "benchmark")
    data = (torch.randn(images, 3, 32, 32, generator=draws), torch.randint(10, (images,), generator=draws))
    model = build(**NETWORKS[network])
    initialize(model, scheme="li", generator=generator(0, "init"))
    axes = tuple(random_direction(model.state_dict(), seed=0, stream=f"direction_{axis}") for axis in "xy")
    steps = np.linspace(-0.5, 0.5, points)
    grid = [(x, y) for x in steps for y in steps]
    engine = {"batch_size": batch_size, "device": device}
    ratios, rates, difference = [], [], 0.0
    for _ in range(rounds):
        ours, seconds = timed(partial(plane, model, data, directions=axes, x=steps, **engine), device)
        plain, slow = timed(partial(plain_loop, model, data, axes, grid, **engine), device)
        ratios.append(slow / seconds)
        rates.append(len(grid) / seconds)
        difference = max(difference, float(np.max(np.abs(ours.train_loss.ravel() / plain - 1))))
    return {
        "network": network,
        "hardware": torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "cpu",
        "torch": torch.__version__,
        "images": images,
        "points": len(grid),
        "points_per_second": round(float(np.median(rates)), 3),
        "times_plain_loop": [round(ratio, 2) for ratio in sorted(ratios)],
        "largest_relative_difference": difference,
    }


def main():
    """Print one JSON line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--points", type=int, default=3, help="per axis")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    for network in options.pop("network") or ["resnet20", "vgg9"]:
        print(json.dumps(compare(network, **options)), flush=True)


if __name__ == "__main__":
    main()
