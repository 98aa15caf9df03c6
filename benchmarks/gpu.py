"""The checks that need a GPU, in one go: agreement with the CPU, speed against the plain loop, training and surfaces.

Needs PyTorch, NumPy, h5py, safetensors, Pillow and tqdm only. Results are JSON lines on standard output and, with
`--out`, histories and planes as HDF5.

Usage: PYTHONPATH=src python benchmarks/gpu.py --images FOLDER [--out FOLDER] [--epochs 30] [--points 51]
       (FOLDER/{train,test}/<class>/*.png)
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from lossatlas.data import NORMALIZATIONS, load_dataset, normalize
from lossatlas.landscape.surfaces import plane
from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe
from surfaces import compare

RUNS = {
    "resnet20": {"depth": 20},
    "resnet20_noshort": {"depth": 20, "shortcut": False},
    "resnet56": {"depth": 56},
    "resnet56_noshort": {"depth": 56, "shortcut": False},
}


def say(**values):
    """Print one JSON line."""
    print(json.dumps(values), flush=True)


def agreement():
    """Compare a small plane on the GPU with the same one on the CPU."""
    draws = generator(0, "benchmark")
    data = (torch.randn(256, 3, 32, 32, generator=draws), torch.randint(10, (256,), generator=draws))
    for family, options in (("resnet", {"depth": 20}), ("vgg", {"depth": 9}), ("preresnet", {"depth": 110})):
        model = build(family, **options)
        initialize(model, scheme="li", generator=generator(0, "init"))
        found = [plane(model, data, x=np.linspace(-1, 1, 5), device=device).train_loss for device in ("cpu", "cuda")]
        say(
            check="agreement", family=family, largest_relative_difference=float(np.max(np.abs(found[1] / found[0] - 1)))
        )


def study(name, data, *, epochs, points, out):
    """Train one network, then map its loss on a plane over the training set."""
    model = build("resnet", **RUNS[name])
    initialize(model, scheme="li", generator=generator(0, "init"))
    recipe = Recipe(epochs=epochs, batch_size=128, augment={"padding": 4, "flip": True})
    begin = time.perf_counter()
    history, _ = train(model, data, recipe, seed=0, keep=lambda epoch, trained: None, device="cuda", label=name)
    trained = time.perf_counter() - begin
    constants = NORMALIZATIONS["li"]
    splits = [
        (normalize(images, constants), labels)
        for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels))
    ]
    steps = np.linspace(-1, 1, points)
    begin = time.perf_counter()
    surface = plane(model.cpu(), *splits, x=steps, batch_size=1000, device="cuda", label=name)
    say(
        run=name,
        status=history.status,
        test_error=float(history.test_error[-1]),
        train_loss=float(history.train_loss[-1]),
        train_seconds=round(trained, 1),
        plane_points_per_second=round(points**2 / (time.perf_counter() - begin), 2),
    )
    if out:
        history.save(out / f"{name}_history.h5")
        surface.save(out / f"{name}_plane.h5")


def main():
    """Run everything, the cheap checks first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--points", type=int, default=51, help="per axis")
    options = parser.parse_args()
    say(device=torch.cuda.get_device_name(), torch=torch.__version__, epochs=options.epochs, points=options.points)
    agreement()
    for network in ("resnet20", "resnet56", "vgg9"):
        say(**compare(network, device="cuda", images=4096, points=5, rounds=3, batch_size=1000))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    if options.images:
        data = load_dataset("imagefolder", root=options.images, cache=Path(".lossatlas/data"))
        for name in RUNS:
            study(name, data, epochs=options.epochs, points=options.points, out=options.out)


if __name__ == "__main__":
    main()
