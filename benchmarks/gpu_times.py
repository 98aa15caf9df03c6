"""Times on a GPU: points of a plane, Hessian products and epochs of training, beside the plain program."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import cases
import plain
from limit import copy_bandwidth, device_matrix_rate
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.engine.precision import Precision
from lossatlas.engine.precision import products as products_of
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.points import displaced, measured
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe
from pairing import in_turn, quotients, spread, timed
from training_times import Splits

# as evaluation and training name them
EVALUATED: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
PRECISIONS = ("float32", "tf32", "bf16")
_POINTS = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.5), (0.25, -0.75)]


@dataclass(frozen=True)
class Settings:
    """What every part is told."""

    device: str
    folder: str | None
    rounds: int
    sizes: Mapping[str, Any]
    epochs: int
    points: int

    def wait(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Way:
    """How points are evaluated."""

    precision: Precision
    batch_size: int
    graph: bool

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.precision}, batches of {self.batch_size}{', CUDA graphs' if self.graph else ''}"


def _gpu(device: str) -> bool:
    return torch.device(device).type != "cpu"


def limit(settings: Settings) -> dict[str, Any]:
    """Return the matrix product rate by precision, and the copy bandwidth."""
    rates = {
        kind: spread([device_matrix_rate(kind, device=settings.device) / 1e12 for _ in range(settings.rounds)])
        for kind in PRECISIONS
    }
    copies = [copy_bandwidth(device=settings.device) / 1e12 for _ in range(settings.rounds)]
    return {"matrix_teraoperations_per_second": rates, "copy_terabytes_per_second": spread(copies)}


class Ours:
    """Our evaluation of the points of a plane in one way."""

    def __init__(self, model: torch.nn.Module, data: Any, way: Way, device: str) -> None:
        """Bring everything to the device."""
        options = {"batch_size": way.batch_size, "precision": way.precision, "graph": way.graph}
        # what is fused is fused on a CPU, in float32
        self.evaluator = Evaluator(model, {"train": data}, device=device, fuse=False, **options)
        self.state = {name: t.to(torch.device(device), copy=True) for name, t in model_state(model).items()}
        self.directions = [
            type(d)(tensors={n: t.to(device) for n, t in d.tensors.items()}, weights=d.weights, kind=d.kind)
            for d in cases.axes(model)
        ]

    def point(self, at: tuple[float, float]) -> tuple[float, float]:
        """Return loss and accuracy at a point."""
        found = measured(self.evaluator, displaced(self.state, self.directions, at))
        return found["train_loss"], found["train_accuracy"]


def plane_points(settings: Settings) -> dict[str, Any]:
    """Return seconds per point by way, agreement with float32, and the ratio of the fastest to the plain loop."""
    sizes, device = settings.sizes, settings.device
    name, some = sizes["network"], cases.images(settings.folder, sizes["images"])
    model, data = cases.network(name), some.normalized()
    net = cases.network(name).to(device)
    weights, moves = cases.listed(net, cases.axes(model))
    moves = [[d.to(device) for d in move] for move in moves]
    usual = plain.loader(some.pixels, some.labels, workers=sizes["plain_workers"], device=device)

    def plain_point() -> tuple[float, float]:
        plain.move(net, weights, moves, _POINTS[0])
        return plain.loss_and_accuracy(net, usual, device=device)

    ways = [
        Way(p, n, g)
        for p in EVALUATED
        for n in sizes["batch_sizes"]
        for g in ((False, True) if _gpu(device) else (False,))
    ]
    tried: dict[Way, dict[str, Any]] = {}
    exact: list[tuple[float, float]] = []
    for way in ways:  # the first is float32
        ours = Ours(model, data, way, device)
        found = [ours.point(at) for at in _POINTS]
        exact = exact or found
        seconds = [timed(lambda o=ours: o.point(_POINTS[0]), device=device)[1] for _ in range(settings.rounds)]
        tried[way] = {
            "seconds_per_point": spread(seconds),
            "recorded": ours.evaluator.recorded > 0,
            "largest_relative_difference_of_loss_to_float32": max(
                abs(a[0] / b[0] - 1) for a, b in zip(found, exact, strict=True)
            ),
            "largest_difference_of_accuracy_to_float32": max(
                abs(a[1] - b[1]) for a, b in zip(found, exact, strict=True)
            ),
        }
        del ours
    fastest = min(tried, key=lambda way: tried[way]["seconds_per_point"]["median"])
    ours = Ours(model, data, fastest, device)
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: ours.point(_POINTS[0]), "plain": plain_point}
    in_turn({"ours": calls["ours"]}, rounds=2)
    # timed as PyTorch is by default, where convolutions on a GPU round; compared as it is exact
    _, seconds = in_turn(calls, rounds=settings.rounds, device=device)
    with products_of(torch.device(device), tf32=False):
        expected = plain_point()
    return {
        "network": name,
        "images": len(some),
        "source": some.source,
        "fastest": str(fastest),
        "seconds_per_point": spread(seconds["ours"]),
        "seconds_per_point_plain": spread(seconds["plain"]),
        "ratio": quotients(seconds["plain"], seconds["ours"]),
        "relative_difference_of_loss_to_plain": abs(exact[0][0] / expected[0] - 1),
        "difference_of_accuracy_to_plain": abs(exact[0][1] - expected[1]),
        "gigaoperations_per_image": cases.operations(model, some.pixels) / 1e9,
        "tried": {str(way): found for way, found in tried.items()},
    }


def products(settings: Settings) -> dict[str, Any]:
    """Return seconds per Hessian-vector product, ours and by differentiating twice, images on the device in both."""
    sizes, device = settings.sizes, settings.device
    model = cases.network(sizes["network"])
    some = cases.images(settings.folder, sizes["hessian_images"])
    data = some.normalized()
    net, batches = cases.network(sizes["network"]).to(device), [tuple(part.to(device) for part in data)]
    operator = HessianOperator(model, data, batch_size=len(some), device=device)
    vector = torch.from_numpy(np.random.default_rng(0).standard_normal(operator.size))
    placed = vector.to(device)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: operator.product(placed),
        "plain": lambda: plain.hessian_product(net, batches, vector.numpy(), device=device),
    }
    in_turn(calls, rounds=2, device=device)
    _, seconds = in_turn(calls, rounds=settings.rounds, device=device)
    with products_of(torch.device(device), tf32=False):
        mine, theirs = operator.product(placed).cpu().numpy(), calls["plain"]()
    return {
        "network": sizes["network"],
        "images": len(some),
        "seconds": {way: spread(values) for way, values in seconds.items()},
        "ratio": quotients(seconds["plain"], seconds["ours"]),
        "relative_difference": float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)),
    }


def training(settings: Settings) -> dict[str, Any]:
    """Return seconds per epoch by precision, without the evaluation after it, and beside the usual loop."""
    sizes, device = settings.sizes, settings.device
    parts = [cases.images(settings.folder, sizes[key], split=s) for key, s in _SPLITS]
    splits = Splits(parts[0].pixels, parts[0].labels, parts[1].pixels, parts[1].labels)
    tried: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for precision in PRECISIONS:
        # compiling takes a minute or two; in full precision the arithmetic takes the time
        for compiled in (False, True) if _gpu(device) and precision != "float32" else (False,):
            recipe = _recipe(epochs=1 + min(settings.rounds, 3), precision=precision, compile=compiled)
            key = precision + (", compiled" if compiled else "")
            try:
                seconds = _trained(sizes["network"], splits, recipe, device)
            except RuntimeError as error:  # a machine without a compiler
                if not compiled:
                    raise
                failed[key] = str(error).partition("\n")[0]
                continue
            # the first epoch chooses kernels and compiles; row 0 is the evaluation alone
            epochs = [took - seconds[0] for took in seconds[2:]]
            tried[key] = {
                "seconds_per_epoch": spread(epochs),
                "seconds_of_the_evaluation_after_it": seconds[0],
            }
    fastest = min(tried, key=lambda key: tried[key]["seconds_per_epoch"]["median"])
    precision, _, compiled = fastest.partition(", ")
    recipe = _recipe(epochs=1 + settings.rounds, precision=precision, compile=bool(compiled))
    usual = _PlainPart(settings, splits)
    seconds = _trained(sizes["network"], splits, recipe, device, on_epoch=usual)
    ours = [took - seconds[0] for took in seconds[2:]]
    return {
        "network": sizes["network"],
        "images": len(parts[0]),
        "fastest": fastest,
        "seconds_per_epoch": spread(ours),
        "seconds_per_epoch_plain": spread(usual.seconds[1:]),
        "plain_was_timed_on_one_part_in": sizes["plain_parts"],
        "ratio": quotients(usual.seconds[1:], ours),
        "tried": tried,
        "failed": failed,
    }


class _PlainPart:
    """The usual loop on a part of the images after each epoch of ours; `seconds` are those of a whole epoch."""

    def __init__(self, settings: Settings, splits: Splits) -> None:
        self._settings, sizes = settings, settings.sizes
        n = len(splits.train_labels) // sizes["plain_parts"]
        self._whole = len(splits.train_labels) / n
        self._net = cases.network(sizes["network"]).to(settings.device)
        self._optimizer = plain.make_optimizer(self._net, lr=0.1)
        given = splits.train_images[:n], splits.train_labels[:n]
        options = {"workers": sizes["plain_workers"], "device": settings.device}
        self._batches = plain.loader(*given, training=True, **options)
        self.seconds: list[float] = []

    def __call__(self, row: Mapping[str, float]) -> None:
        """Train for a part of an epoch; the row of epoch 0 comes before the first one."""
        if row["epoch"] == 0:
            return
        device = self._settings.device
        # at least what PyTorch rounds by default, whatever ours sets
        with products_of(torch.device(device), tf32=True):
            _, part = timed(self._epoch, device=device)
        self.seconds.append(part * self._whole)

    def _epoch(self) -> None:
        plain.train_epoch(self._net, self._batches, self._optimizer, device=self._settings.device)


_SPLITS = (("images", "train"), ("test_images", "test"))


def _recipe(**options: Any) -> Recipe:
    return Recipe(batch_size=128, augment={"padding": 4, "flip": True}, **options)


def _trained(network: str, splits: Splits, recipe: Recipe, device: str, **options: Any) -> list[float]:
    model = cases.network(network)
    _, seconds = train(model, splits, recipe, seed=0, keep=lambda epoch, learned: None, device=device, **options)
    return seconds


def synchronizations(settings: Settings) -> dict[str, Any]:
    """Return how often the host waits for the device, for each batch of a plane's point and of training."""
    if not _gpu(settings.device):
        return {"counted": False}
    sizes = settings.sizes
    some = cases.images(settings.folder, 1280)
    model, data = cases.network(sizes["network"]), some.normalized()
    counts = []
    for batch_size in (640, 128):  # 2 and 10 batches
        ours = Ours(model, data, Way("float32", batch_size, False), settings.device)
        ours.point(_POINTS[0])
        counts.append(_waits(lambda o=ours: o.point(_POINTS[0])))
    splits = [
        Splits(some.pixels[:n], some.labels[:n], some.pixels[:128], some.labels[:128])
        for n in (256, 1280)  # 2 and 10 batches
    ]
    recipe = _recipe(epochs=1)
    trained = [_waits(lambda s=s: _trained(sizes["network"], s, recipe, settings.device)) for s in splits]
    return {
        "counted": True,
        "plane_per_point": counts[0],
        "plane_per_batch": (counts[1] - counts[0]) / 8,
        "training_per_batch": (trained[1] - trained[0]) / 8,
    }


def _waits(call: Callable[[], Any]) -> int:
    """Return how many operations of a call made the host wait, as PyTorch tells."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)
