"""A plane from samples of the images, point by point, with a journal that survives a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Array, Data, Evaluator
from lossatlas.landscape.coarse import Place
from lossatlas.landscape.coarse_corners import Measure
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.points import AtPlace, Displacements, Points, walk
from lossatlas.landscape.sampler import Sampler
from lossatlas.landscape.sampling import CARRIERS, CONFIDENCE, QUANTILE, Sampling
from lossatlas.landscape.sampling_plan import Plan, plan
from lossatlas.randomness import generator
from lossatlas.results import SAMPLED, VALUES, Floats
from lossatlas.sealed import read_values, write_values


class _Images:
    """The losses of single images at the points of a grid, all data sets in the order of the samples."""

    def __init__(self, evaluator: Evaluator, points: Displacements, columns: int) -> None:
        self._evaluator, self.points, self._columns = evaluator, points, columns
        self._place: Place | None = None

    def measure(self, name: str) -> Measure:
        """Return what computes values of the data set `name`."""

        def values(place: Place, start: int, stop: int) -> Floats:
            if place != self._place:
                self._evaluator.load(self.points[place[0] * self._columns + place[1]])
                self._place = place
            losses, right = self._evaluator.example_values(name, start, stop)
            return np.stack([losses.numpy(), right.double().numpy()])

        return values


def _images(
    model: nn.Module,
    data: Mapping[str, Data],
    directions: Sequence[Direction],
    grid: Floats,
    sampling: Sampling,
    columns: int,
    engine: Mapping[str, Any],
) -> _Images:
    # without a reference to the shuffled images: the evaluator has them in batches
    evaluator = Evaluator(
        model, {name: shuffled(examples, sampling, name) for name, examples in data.items()}, **engine
    )
    return _Images(evaluator, Displacements(model, directions, grid, evaluator.device), columns)


def _at_places(samplers: Mapping[str, Sampler], columns: int) -> AtPlace:
    def values_at(i: int) -> dict[str, float]:
        found = {name: sampler(divmod(i, columns)) for name, sampler in samplers.items()}
        return {f"{name}_{kind}": value for name, values in found.items() for kind, value in values.items()}

    return values_at


def _sampling(
    model: nn.Module,
    data: Mapping[str, Data],
    directions: Sequence[Direction],
    x: Floats,
    y: Floats,
    sampling: Sampling,
    plans: Mapping[str, Plan],
    engine: Mapping[str, Any],
) -> AtPlace:
    """Return what estimates the values at a place by a plan that was made before; what a worker has."""
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    images = _images(model, data, directions, grid, sampling, len(y), engine)
    samplers = {name: Sampler(x, y, plans[name], images.measure(name), sampling) for name in data}
    return _at_places(samplers, len(y))


def _bands(marks: Sequence[int], columns: int) -> list[list[int]]:
    """Return the places by band of cells: whoever computes one needs the exact points of two coarse rows."""
    ends = [0, *(mark + 1 for mark in marks[1:] or marks)]
    return [list(range(a * columns, b * columns)) for a, b in zip(ends, ends[1:], strict=False)]


def shuffled(data: Data, sampling: Sampling, name: str) -> Data:
    """Return a data set in the order in which samples take its images, one and the same at all points."""
    inputs, labels = data
    if len(inputs) != len(labels):
        return data  # refused by the evaluator, in its own words
    order = torch.randperm(len(labels), generator=generator(sampling.seed, "sampling", "order", name))
    return _taken(inputs, order), _taken(labels, order)


def _taken(values: Array, order: Tensor) -> Array:
    return values[order.to(values.device)] if isinstance(values, Tensor) else np.asarray(values)[order.numpy()]


def sampled_points(
    model: nn.Module,
    data: Mapping[str, Data],
    directions: Sequence[Direction],
    x: Floats,
    y: Floats,
    *,
    sampling: Sampling,
    journal: Path | str | None,
    label: str,
    executor: Executor | None = None,
    **engine: Any,
) -> tuple[Points, dict[str, Any]]:
    """Estimate the values at the points of a grid, row by row, resuming from the journal.

    Returns:
        The values by the names of `VALUES` and `SAMPLED`, and how they were estimated, as plain values.
    """
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    images = _images(model, data, directions, grid, sampling, len(y), engine)
    points = images.points
    settings = {name: value for name, value in engine.items() if name != "device"} | {"sampling": asdict(sampling)}
    identity = points.identity(data, settings) if journal else ""
    folder = Path(f"{journal}.images") if journal else None
    samplers, plans = {}, {}
    for name, (_, labels) in data.items():
        measure, stem = images.measure(name), f"{identity[:16]}-{name}"
        plans[name] = _planned(x, y, len(labels), measure, sampling, name, folder / f"{stem}.json" if folder else None)
        samplers[name] = Sampler(x, y, plans[name], measure, sampling, folder=folder, stem=stem)

    away = partial(_sampling, model, data, directions, x, y, sampling, plans, engine)
    values, computed = walk(
        away if executor else partial(_at_places, samplers, len(y)),
        len(grid),
        names=(*VALUES, *SAMPLED),
        identity=lambda: identity,
        journal=journal,
        label=label,
        executor=executor,
        groups=_bands(next(iter(samplers.values())).grids[0].marks[0], len(y)) if executor else None,
    )
    for sampler in samplers.values():
        sampler.forget()
    note = points.explain([values[f"{name}_loss"] for name in data])
    about = {
        "confidence": CONFIDENCE,
        "quantile": QUANTILE,
        "carriers": CARRIERS,
        **{name: value for name, value in asdict(sampling).items() if name not in ("steps", "images")},
        **{name: _account(samplers[name], plans[name], values[f"{name}_n"]) for name in data},
    }
    return Points(values, computed, note), about


def _planned(
    x: Floats, y: Floats, images: int, measure: Measure, sampling: Sampling, name: str, path: Path | None
) -> Plan:
    """Return the plan; the one in the file if there is one, so that a resumed run goes on with it."""
    if path and path.exists():
        return Plan.read(read_values(path))
    found = plan(x, y, images, measure, sampling, name)
    if path:
        write_values(path, asdict(found))
    return found


def _account(sampler: Sampler, chosen: Plan, n: Floats) -> dict[str, Any]:
    """Return the plan and what it cost, in evaluations of one image."""
    sizes = [len(grid) for grid in sampler.grids]
    coarse = sizes[0] * chosen.images[0]
    total = int(n.sum()) + chosen.pilot_evaluations
    return {
        "steps": list(chosen.steps),
        "images": list(chosen.images),
        "pilots": list(chosen.pilots),
        "exact_points": int((n == chosen.images[0]).sum()),
        "evaluations": {
            "pilots": chosen.pilot_evaluations,
            "coarse": coarse,
            "samples": int(n.sum()) - coarse,
            "total": total,
            "predicted": round(chosen.predicted) + chosen.pilot_evaluations,
            "exact": len(n) * chosen.images[0],
        },
    }
