"""The checks that need a GPU, in one go: agreement with the CPU, speed against the plain loop, training and surfaces.

Needs PyTorch, NumPy, h5py, safetensors, Pillow and tqdm only. Results are JSON lines on standard output and, with
`--out`, histories, planes and maps of eigenvalues as HDF5.

Usage: PYTHONPATH=src python benchmarks/gpu.py --images FOLDER [--out FOLDER] [--epochs 30] [--points 51]
       (FOLDER/{train,test}/<class>/*.png; `--device cpu` tries the cheap checks without a GPU)
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from lossatlas.data import NORMALIZATIONS, load_dataset, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.curve_learner import CurveLearner
from lossatlas.landscape.curve_losses import curve_losses
from lossatlas.landscape.curves import Curve, parameters_of
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.hessian import extremes, hessian_map
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


def noise(n):
    """Return random images and labels."""
    draws = generator(0, "benchmark")
    return torch.randn(n, 3, 32, 32, generator=draws), torch.randint(10, (n,), generator=draws)


def agreement(device):
    """Compare a small plane and the Hessian's extremes on the GPU with the same ones on the CPU."""
    data = noise(256)
    for family, options in (("resnet", {"depth": 20}), ("vgg", {"depth": 9}), ("preresnet", {"depth": 110})):
        model = build(family, **options)
        initialize(model, scheme="li", generator=generator(0, "init"))
        found = [plane(model, data, x=np.linspace(-1, 1, 5), device=device).train_loss for device in ("cpu", device)]
        say(
            check="agreement", family=family, largest_relative_difference=float(np.max(np.abs(found[1] / found[0] - 1)))
        )
    model = build("resnet", depth=20)
    initialize(model, scheme="li", generator=generator(0, "init"))
    ends = [extremes(HessianOperator(model, noise(64), batch_size=64, device=place)) for place in ("cpu", device)]
    say(
        check="hessian agreement",
        lambda_max=[end.lambda_max for end in ends],
        lambda_min=[end.lambda_min for end in ends],
        products=[end.products for end in ends],
    )


def products(device, *, images):
    """Time Hessian-vector products beside gradients of the same loss."""
    model = build("resnet", depth=56)
    initialize(model, scheme="li", generator=generator(0, "init"))
    operator = HessianOperator(model, noise(images), batch_size=images, device=device)
    vector = torch.randn(operator.size, generator=generator(0, "vector"), dtype=torch.float64)
    operator.product(vector)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        operator.product(vector)  # comes back to the CPU: what it took is over
        seconds.append(time.perf_counter() - begin)
    say(check="hessian products", network="resnet56", images=images, seconds_per_product=float(np.median(seconds)))


def curves(device, *, images):
    """Compare losses along a Bezier curve with those on the CPU, and time its training beside a network's."""
    ends = []
    for seed in (0, 1):
        model = build("resnet", depth=20)
        initialize(model, scheme="li", generator=generator(seed, "init"))
        ends.append(model)
    curve = Curve.straight(*map(parameters_of, ends), kind="bezier", bends=1)
    state, inputs = ends[0].state_dict(), noise(128)
    options = {"t": np.linspace(0, 1, 5), "start_state": state, "end_state": ends[1].state_dict()}
    found = [
        curve_losses(ends[0], curve, inputs, refresh_batch_size=64, device=place, **options).train_loss
        for place in ("cpu", device)
    ]
    say(check="curve agreement", largest_relative_difference=float(np.max(np.abs(found[1] / found[0] - 1))))
    data = NoiseSplits(images)
    recipe = Recipe(epochs=3, batch_size=128, lr=0.01, weight_decay=0.0, schedule="constant")
    learner = CurveLearner(ends[0], curve, weight_decay=5e-4, refresh_batch_size=128)
    for what, learns in (("network", ends[1]), ("curve", learner)):
        _, seconds = train(learns, data, recipe, seed=0, keep=lambda epoch, learned: None, device=device, label=what)
        say(check="training", what=what, images=images, seconds_per_epoch=round(min(seconds[1:]), 3))


class NoiseSplits:
    """Random normalized images to train and to test on."""

    def __init__(self, images):
        """Draw them."""
        self.train_images, self.train_labels = noise(images)
        self.test_images, self.test_labels = noise(128)


def members(device, *, images):
    """Compare class probabilities on the GPU with those on the CPU."""
    model = build("wide_resnet", depth=10, widen=2)
    initialize(model, scheme="li", generator=generator(0, "init"))
    found = []
    for place in ("cpu", device):
        evaluator = Evaluator(model, {"test": noise(images)}, device=place)
        found.append(torch.softmax(evaluator.logits("test").double(), dim=1))
    say(check="probabilities", largest_difference=float((found[1] - found[0]).abs().max()))


def study(name, data, *, epochs, points, out):
    """Train one network, then map its loss on a plane over the training set and its eigenvalues over 1,000 images."""
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
    axes = tuple(random_direction(model.state_dict(), seed=0, stream=f"direction_{axis}") for axis in ("x", "y"))
    few, steps = tuple(part[:1000] for part in splits[0]), np.linspace(-1, 1, 5)
    begin = time.perf_counter()
    eigenvalues = hessian_map(model, few, directions=axes, x=steps, y=steps, batch_size=1000, device="cuda", label=name)
    say(
        run=name,
        hessian_seconds=round(time.perf_counter() - begin, 1),
        products=int(eigenvalues.products.sum()),
        converged=int(eigenvalues.converged.sum()),
        centre=[float(eigenvalues.lambda_max[2, 2]), float(eigenvalues.lambda_min[2, 2])],
    )
    if out:
        history.save(out / f"{name}_history.h5")
        surface.save(out / f"{name}_plane.h5")
        eigenvalues.save(out / f"{name}_hessian.h5")


def main():
    """Run everything, the cheap checks first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--points", type=int, default=51, help="per axis")
    parser.add_argument("--device", default="cuda", help="of the cheap checks; training and surfaces need cuda")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    say(device=name, torch=torch.__version__, epochs=options.epochs, points=options.points)
    agreement(options.device)
    products(options.device, images=1000 if on_gpu else 32)
    curves(options.device, images=12800 if on_gpu else 256)
    members(options.device, images=1000 if on_gpu else 32)
    for network in ("resnet20", "resnet56", "vgg9") if on_gpu else ():
        say(**compare(network, device="cuda", images=4096, points=5, rounds=3, batch_size=1000))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    if options.images and on_gpu:
        data = load_dataset("imagefolder", root=options.images, cache=Path(".lossatlas/data"))
        for name in RUNS:
            study(name, data, epochs=options.epochs, points=options.points, out=options.out)


if __name__ == "__main__":
    main()
