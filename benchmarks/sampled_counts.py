"""Sampled planes: image evaluations saved, and the error at random points against the exact value.

The exact values take long. They are kept point by point, so that a run that is killed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cases
from crew import Crew
from lossatlas.closure import import_closure, source_hash
from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.files import sha256_json, write_text
from lossatlas.landscape.points import displaced, measured, walk
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.surfaces import plane
from lossatlas.models.weights import weights_hash
from lossatlas.results import SampledPlane
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe
from options import Options

_CONFIDENT = 1.96
# exact points of one process at a time: a kill loses at most these
_SHARE = 4


class Station:
    """A worker process with a network and images, which evaluates exact points."""

    def __init__(self, index: int, case: Mapping[str, Any], folder: str | None, scratch: str) -> None:
        """Load everything."""
        self.model = _network(case, folder, Path(scratch))
        self.state = {name: tensor.clone() for name, tensor in model_state(self.model).items()}
        self.directions = cases.axes(self.model)
        data = cases.images(folder, case["images"]).normalized()
        self.evaluator = Evaluator(self.model, {"train": data}, **_engine(case))

    def exact(self, points: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
        """Return loss, accuracy and seconds of each point."""
        found = []
        for at in points:
            begin = time.perf_counter()
            point = measured(self.evaluator, displaced(self.state, self.directions, at))
            found.append((point["train_loss"], point["train_accuracy"], time.perf_counter() - begin))
        return found


def _engine(case: Mapping[str, Any]) -> dict[str, Any]:
    return dict(case.get("engine") or {})


def _network(case: Mapping[str, Any], folder: str | None, scratch: Path) -> torch.nn.Module:
    """Return the case's network; one that does not come trained is trained here, once."""
    name, epochs = case["network"], case.get("epochs", 0)
    model = cases.network(name)
    if not epochs:
        return model
    some = cases.images(folder, case["train_images"])
    tests = cases.images(folder, min(1000, len(some)), split="test")

    class Splits:
        train_images, train_labels = some.pixels, some.labels
        test_images, test_labels = tests.pixels, tests.labels

    recipe = Recipe(epochs=epochs, batch_size=128, augment={"padding": 4, "flip": True})
    place = scratch / f"trained-{name}-{sha256_json([folder, case['train_images'], epochs])[:12]}.pt"
    place.parent.mkdir(parents=True, exist_ok=True)
    train(model, Splits(), recipe, seed=0, keep=lambda epoch, learned: None, state=place, label=f"train {name}")
    return model.eval()


def measure(options: Options) -> dict[str, Any]:
    """Return the figures of every case that is asked for."""
    torch.set_num_threads(1)
    sizes = options.sizes
    found = {}
    for name in sizes["run"]:
        options.say(name)
        found[name] = _case(sizes["cases"][name], options)
    return {"rtol": sizes["rtol"], "atol": sizes["atol"], "confidence": _CONFIDENT, "cases": found}


def _case(case: Mapping[str, Any], options: Options) -> dict[str, Any]:
    sizes, n = options.sizes, case["points"]
    model = _network(case, options.folder, options.scratch)
    some = cases.images(options.folder, case["images"])
    steps = np.linspace(-case["reach"], case["reach"], n)
    identity = sha256_json([dict(case), some.source, weights_hash(model.state_dict())])
    # a sampled plane is that of the present code; exact values are what they are
    code = [source_hash(path) for path in import_closure(["lossatlas.landscape.sampled"])]
    settings = [identity, sizes["rtol"], sizes["atol"], code]
    folder = options.scratch / f"sampled-{sha256_json(settings)[:16]}"
    surface, seconds = _sampled(model, some, steps, case, options, folder)
    checked = _checked(case, steps, options, identity)
    index, exact = checked["index"], checked["loss"]
    estimate, error = surface.train_loss.ravel()[index], np.abs(surface.train_loss.ravel()[index] - exact)
    se, finite = surface.train_loss_se.ravel()[index], np.isfinite(exact)
    within = np.where(finite, error <= sizes["atol"] + sizes["rtol"] * np.abs(exact), ~np.isfinite(estimate))
    estimated = finite & (se > 0)
    spent, brute = _spent(surface), n * n * case["images"]
    exact_seconds = float(np.median(checked["seconds"][: checked["timed"]]))
    claimed = _CONFIDENT * surface.train_loss_se <= sizes["atol"] + sizes["rtol"] * np.abs(surface.train_loss)
    return {
        "network": case["network"],
        "epochs_trained_here": case.get("epochs", 0),
        "source": some.source,
        "points": f"{n}x{n}",
        "reach": case["reach"],
        "images": case["images"],
        "image_evaluations": spent,
        "image_evaluations_of_the_exact_plane": brute,
        "ratio_of_evaluations": brute / spent,
        "exact_points": int((surface.train_n == case["images"]).sum()),
        "median_images_per_point": float(np.median(surface.train_n)),
        "claimed_within_tolerance": float(claimed.mean()),
        "checked_points": len(index),
        "checked_estimated": int(estimated.sum()),
        "within_tolerance": float(within.mean()),
        "within_tolerance_of_estimated": float(within[estimated].mean()) if estimated.any() else None,
        "covered_by_interval": (
            float((error[estimated] <= _CONFIDENT * se[estimated]).mean()) if estimated.any() else None
        ),
        "largest_error_over_tolerance": float(
            np.max(error[finite] / (sizes["atol"] + sizes["rtol"] * np.abs(exact[finite])))
        ),
        "seconds": seconds,
        "seconds_per_exact_point": exact_seconds,
        "timed_points": checked["timed"],
        "seconds_of_the_exact_plane_extrapolated": exact_seconds * n * n,
        "ratio_of_seconds": exact_seconds * n * n / seconds,
        "sampling": json.loads(json.dumps(surface.provenance["sampling"])),
    }


def _spent(surface: Any) -> int:
    """Return the image evaluations of the whole plane, whatever they were for."""
    return int(surface.provenance["sampling"]["train"]["evaluations"]["total"])


def _sampled(
    model: torch.nn.Module,
    some: cases.Images,
    steps: np.ndarray,
    case: Mapping[str, Any],
    options: Options,
    folder: Path,
) -> tuple[Any, float]:
    """Return the sampled plane and the seconds it took; of one that was resumed, all attempts that ended count."""
    folder.mkdir(parents=True, exist_ok=True)
    file, clock = folder / "plane.h5", folder / "seconds.json"
    before = json.loads(clock.read_text()) if clock.is_file() else 0.0
    if file.is_file():
        return SampledPlane.load(file), before
    options.say("sampled plane")
    begin = time.perf_counter()
    try:
        surface = plane(
            model,
            some.normalized(),
            directions=cases.axes(model),
            x=steps,
            sampling=Sampling(rtol=options.sizes["rtol"], atol=options.sizes["atol"]),
            journal=folder / "plane.jsonl",
            label=f"{len(steps)}x{len(steps)}",
            **_engine(case),
        )
    finally:
        total = before + time.perf_counter() - begin
        write_text(clock, json.dumps(total))
    surface.save(file)
    return surface, total


def _checked(case: Mapping[str, Any], steps: np.ndarray, options: Options, identity: str) -> dict[str, Any]:
    """Return exact values at random points: the first ones timed with one process, the others found by all."""
    n = len(steps)
    count = min(options.sizes["check"], n * n)
    timed = min(options.sizes["timed"], count)
    # of one fixed order: what is asked for more points begins with the same
    index = np.random.default_rng(0).permutation(n * n)[:count]
    asked = sha256_json([identity, timed, count])
    points = [(float(steps[i // n]), float(steps[i % n])) for i in index]
    with ExitStack() as stack:
        exact = _Exact(case, points, timed, options, stack)
        values, _ = walk(
            lambda: exact,
            count,
            names=("loss", "accuracy", "seconds"),
            identity=lambda: asked,
            journal=options.scratch / f"exact-{asked[:16]}.jsonl",
            label="exact points",
        )
    return {"index": index, "timed": timed, **values}


class _Exact:
    """Exact values at points, found some at a time by worker processes that are started when they are first needed."""

    def __init__(
        self,
        case: Mapping[str, Any],
        points: list[tuple[float, float]],
        timed: int,
        options: Options,
        stack: ExitStack,
    ) -> None:
        self._case, self._points, self._timed, self._options, self._stack = case, points, timed, options, stack
        self._found: dict[int, tuple[float, float, float]] = {}
        self._crew: Crew | None = None

    def __call__(self, i: int) -> dict[str, float]:
        """Return the values at a point."""
        if self._crew is None:
            about = (dict(self._case), self._options.folder, str(self._options.scratch))
            self._crew = self._stack.enter_context(Crew(self._options.workers, Station, *about))
        if i not in self._found:
            workers, share = (1, 1) if i < self._timed else (len(self._crew), _SHARE)
            parts = [range(k, min(k + share, len(self._points))) for k in range(i, i + workers * share, share)]
            parts = [part for part in parts if part]
            replies = self._crew.each("exact", [([self._points[k] for k in part],) for part in parts])
            for part, reply in zip(parts, replies, strict=True):
                self._found.update(zip(part, reply, strict=True))
        if i % 20 == 0:
            self._options.say(f"exact point {i + 1} of {len(self._points)}")
        return dict(zip(("loss", "accuracy", "seconds"), self._found[i], strict=True))
