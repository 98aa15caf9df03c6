"""Checks on a GPU that are no timings: agreement with the CPU, and the surfaces of trained networks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

import cases
from gpu_times import Settings
from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.precision import products
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
from training_times import Splits

RUNS: dict[str, dict[str, Any]] = {
    "resnet20": {"depth": 20},
    "resnet20_noshort": {"depth": 20, "shortcut": False},
    "resnet56": {"depth": 56},
    "resnet56_noshort": {"depth": 56, "shortcut": False},
}


def _noise(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = generator(0, "benchmark")
    return torch.randn(n, 3, 32, 32, generator=draws), torch.randint(10, (n,), generator=draws)


def _network(family: str, *, seed: int = 0, **options: Any) -> torch.nn.Module:
    model = build(family, **options)
    initialize(model, scheme="li", generator=generator(seed, "init"))
    return model


def agreement(settings: Settings) -> dict[str, Any]:
    """Compare a small plane and the Hessian's extremes on the device with the same ones on the CPU.

    Both in full precision, which the package computes in whatever PyTorch allows: TensorFloat-32 is switched on around.
    """
    with products(torch.device(settings.device), tf32=True):
        return _agreement(settings)


def _agreement(settings: Settings) -> dict[str, Any]:
    few, places = settings.sizes["few"], ("cpu", settings.device)
    data, differences = _noise(few), {}
    families: tuple[tuple[str, dict[str, Any]], ...] = (
        ("resnet", {"depth": 20}),
        ("vgg", {"depth": 9}),
        ("preresnet", {"depth": settings.sizes["deep"]}),
    )
    for family, options in families:
        model = _network(family, **options)
        found = [plane(model, data, x=np.linspace(-1, 1, 3), device=place).train_loss for place in places]
        differences[family] = float(np.max(np.abs(found[1] / found[0] - 1)))
    model = _network("resnet", depth=20)
    some = _noise(min(few, 64))
    ends = [extremes(HessianOperator(model, some, batch_size=64, device=place)) for place in places]
    highs, lows = ([getattr(end, name) for end in ends] for name in ("lambda_max", "lambda_min"))
    return {
        "largest_relative_difference_of_eigenvalues": max(abs(v[1] / v[0] - 1) for v in (highs, lows)),
        "largest_relative_difference": differences,
        "lambda_max": highs,
        "lambda_min": lows,
        "products": [end.products for end in ends],
    }


def curves(settings: Settings) -> dict[str, Any]:
    """Compare losses along a Bezier curve with those on the CPU, and time its training beside a network's."""
    images, device = settings.sizes["curve_images"], settings.device
    ends = [_network("resnet", depth=20, seed=seed) for seed in (0, 1)]
    curve = Curve.straight(*map(parameters_of, ends), kind="bezier", bends=1)
    options: dict[str, Any] = {
        "t": np.linspace(0, 1, 5),
        "start_state": ends[0].state_dict(),
        "end_state": ends[1].state_dict(),
    }
    inputs = _noise(min(images, 128))
    found = [
        curve_losses(ends[0], curve, inputs, refresh_batch_size=64, device=place, **options).train_loss
        for place in ("cpu", device)
    ]
    tests = _noise(min(images, 128))
    data = Splits(*_noise(images), *tests)
    recipe = Recipe(epochs=3, batch_size=128, lr=0.01, weight_decay=0.0, schedule="constant")
    learner = CurveLearner(ends[0], curve, weight_decay=5e-4, refresh_batch_size=128)
    seconds = {}
    for what, learns in (("network", ends[1]), ("curve", learner)):
        _, took = train(learns, data, recipe, seed=0, keep=lambda epoch, learned: None, device=device, label=what)
        seconds[what] = round(min(took[1:]), 3)
    return {
        "largest_relative_difference": float(np.max(np.abs(found[1] / found[0] - 1))),
        "images": images,
        "seconds_per_epoch": seconds,
    }


def members(settings: Settings) -> dict[str, Any]:
    """Compare class probabilities on the device with those on the CPU."""
    model, data = _network("wide_resnet", depth=10, widen=2), _noise(settings.sizes["few"])
    found = [
        torch.softmax(Evaluator(model, {"test": data}, device=place).logits("test").double(), dim=1)
        for place in ("cpu", settings.device)
    ]
    return {"largest_difference": float((found[1] - found[0]).abs().max())}


def studies(settings: Settings) -> dict[str, Any]:
    """Train networks, map their loss on a plane over the training set and eigenvalues over 1,000 images."""
    if settings.folder is None or settings.device == "cpu":
        return {"measured": False, "reason": "needs a GPU and images"}
    data = cases.data_set(settings.folder)
    return {name: _study(name, data, settings) for name in RUNS}


def _study(name: str, data: Any, settings: Settings) -> dict[str, Any]:
    device = settings.device
    model = _network("resnet", **RUNS[name])
    recipe = Recipe(epochs=settings.epochs, batch_size=128, augment={"padding": 4, "flip": True})
    begin = time.perf_counter()
    history, _ = train(model, data, recipe, seed=0, keep=lambda epoch, trained: None, device=device, label=name)
    trained = time.perf_counter() - begin
    splits = [
        (normalize(images, NORMALIZATIONS["li"]), labels)
        for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels))
    ]
    steps = np.linspace(-1, 1, settings.points)
    begin = time.perf_counter()
    surface = plane(model.cpu(), *splits, x=steps, batch_size=1000, device=device, label=name)
    mapped = time.perf_counter() - begin
    axes = tuple(random_direction(model.state_dict(), seed=0, stream=f"direction_{axis}") for axis in ("x", "y"))
    few, steps = tuple(part[:1000] for part in splits[0]), np.linspace(-1, 1, 5)
    begin = time.perf_counter()
    eigenvalues = hessian_map(model, few, directions=axes, x=steps, y=steps, batch_size=1000, device=device, label=name)
    return {
        "status": history.status,
        "test_error": float(history.test_error[-1]),
        "train_loss": float(history.train_loss[-1]),
        "train_seconds": round(trained, 1),
        "centre_of_the_plane": float(surface.train_loss[settings.points // 2, settings.points // 2]),
        "plane_points_per_second": round(settings.points**2 / mapped, 2),
        "hessian_seconds": round(time.perf_counter() - begin, 1),
        "products": int(eigenvalues.products.sum()),
        "converged": int(eigenvalues.converged.sum()),
        "lambda_at_the_centre": [float(eigenvalues.lambda_max[2, 2]), float(eigenvalues.lambda_min[2, 2])],
    }
