"""Evaluation of a network at displaced weights, point by point, with a journal that survives a kill."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.batches import Batches
from lossatlas.engine.evaluator import Evaluator, as_tensor, model_state
from lossatlas.engine.general import GeneralEvaluator, general, make_evaluator, settled
from lossatlas.engine.identity import content as content
from lossatlas.engine.identity import model_code
from lossatlas.engine.objective import Criterion, Objective
from lossatlas.engine.spreading import spread
from lossatlas.files import sha256_bytes, sha256_json
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress
from lossatlas.results import VALUES, Floats, Mask

# a kill loses at most the points of this many seconds
FLUSH_SECONDS = 2.0
# what values there are at a point, and at a place of a grid
AtPoint = Callable[[Mapping[str, Tensor]], Mapping[str, float]]
AtPlace = Callable[[int], Mapping[str, float]]
# what a point has whose values are not finite for no other reason
OVERFLOW = "a loss that overflows"


@dataclass(frozen=True)
class Points:
    """Values at the rows of a grid by name, each (n,), which were computed, and why some are not finite."""

    values: dict[str, Floats]
    computed: Mask
    note: str


def displaced(state: Mapping[str, Tensor], directions: Sequence[Direction], at: Sequence[float]) -> dict[str, Tensor]:
    """Return the point `state + sum_i at[i] directions[i]`; tensors that no direction moves are shared, not copied."""
    moved = dict(state)
    for name in dict.fromkeys(itertools.chain(*(d.tensors for d in directions))):
        steps = [d.tensors[name] * a for d, a in zip(directions, at, strict=True) if name in d.tensors]
        moved[name] = state[name] + sum(steps[1:], start=steps[0])
    return moved


def data_content(data: Any) -> list[Any]:
    """Return what tells a data set from others."""
    return data.content() if isinstance(data, Batches) else [content(as_tensor(values)) for values in data]


def _identity(
    state: Mapping[str, Tensor],
    directions: Sequence[Direction],
    grid: Floats,
    data: Mapping[str, Any],
    settings: Sequence[Any],
) -> str:
    parts: list[Any] = [weights_hash(state), sha256_bytes(np.ascontiguousarray(grid).tobytes()), settings]
    parts += [[d.description(), weights_hash(d.tensors)] for d in directions]
    parts += [[name, *data_content(examples)] for name, examples in data.items()]
    return sha256_json(parts)


class Displacements:
    """The rows of a grid as points in weight space, on the device where they are wanted.

    Args:
        model: the network whose weights are the origin.
        directions: one per column of `grid`.
        grid: coordinates, (n, number of directions).
        device: where the points are wanted.

    Raises:
        ValueError: directions of other weights.
    """

    def __init__(self, model: nn.Module, directions: Sequence[Direction], grid: Floats, device: torch.device) -> None:
        """See the class."""
        state = {name: tensor.clone() for name, tensor in model_state(model).items()}
        _require(directions, state)
        moved = [{n: t.to(device) for n, t in d.tensors.items()} for d in directions]
        self._model, self._device = model, device
        self._placed = [
            Direction(tensors=t, weights=d.weights, kind=d.kind) for t, d in zip(moved, directions, strict=True)
        ]
        self._directions, self._grid = directions, grid
        self._state = {name: tensor.to(device) for name, tensor in state.items()}

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """Return the point of row i."""
        return displaced(self._state, self._placed, self._grid[i])

    def identity(self, data: Mapping[str, Any], settings: Any) -> str:
        """Return a hash of all that values at the points depend on: `settings` are whatever else, as plain values."""
        # the network's description and code, and what decides about rounding
        about = [repr(self._model), model_code(self._model), self._device.type, settings]
        return _identity(self._state, self._directions, self._grid, data, about)

    def explain(self, arrays: Sequence[Floats], what: str = OVERFLOW) -> str:
        """Return why some of the values are not finite, empty when all are; `what`: what such points have at last."""
        return _explain(self._state, self._placed, self._grid, arrays, what)


def measured(evaluator: Evaluator | GeneralEvaluator, point: Mapping[str, Tensor]) -> dict[str, float]:
    """Return loss and accuracy at a point on each data set, by the names of `VALUES`."""
    found = evaluator(point)
    return {f"{name}_{kind}": getattr(m, kind) for name, m in found.items() for kind in ("loss", "accuracy")}


def evaluate_points(
    model: nn.Module,
    data: Mapping[str, Any],
    directions: Sequence[Direction],
    grid: Floats,
    *,
    journal: Path | str | None,
    label: str,
    executor: Executor | None = None,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    **engine: Any,
) -> Points:
    """Evaluate the rows of `grid` (n, number of directions), resuming from the journal; see `walk`."""
    objective = {"loss": loss, "accuracy": accuracy}
    settings = {name: value for name, value in engine.items() if name != "device"}
    if journal and general(data, **objective):
        settings |= Objective(**objective).identity()
    data = settled(model, data, batch_size=engine["batch_size"], **objective)
    return walk_points(
        model,
        data,
        directions,
        grid,
        partial(_measuring, model, data, {**engine, **objective}),
        names=VALUES,
        # without a test set its losses are NaN everywhere, and not to be explained
        finite=[f"{name}_loss" for name in data],
        settings=settings,
        device=torch.device(engine.get("device", "cpu")),
        journal=journal,
        label=label,
        executor=executor,
    )


def _measuring(model: nn.Module, data: Mapping[str, Any], engine: Mapping[str, Any]) -> AtPoint:
    return partial(measured, make_evaluator(model, data, **engine))


def walk_points(
    model: nn.Module,
    data: Mapping[str, Any],
    directions: Sequence[Direction],
    grid: Floats,
    station: Callable[[], AtPoint],
    *,
    names: Sequence[str],
    finite: Sequence[str],
    settings: Any,
    device: torch.device,
    journal: Path | str | None,
    label: str,
    what: str = OVERFLOW,
    executor: Executor | None = None,
) -> Points:
    """Take values at the rows of `grid` (n, number of directions), resuming from the journal.

    Args:
        model: the network whose weights are the origin.
        data: the examples that the values depend on.
        directions: one per column of `grid`.
        grid: coordinates, (n, number of directions).
        station: returns what takes the values at a point, by name; names that are absent stay NaN. They may depend on
            nothing but the point: not on those visited before. Workers get it pickled.
        names: all values, in the order of the journal.
        finite: those whose NaN and infinities the note explains.
        settings: whatever else the values depend on, as plain values.
        device: where the points are wanted.
        journal: a file that keeps finished points.
        label: of the progress bar.
        what: what a point has whose values are not finite for no other reason.
        executor: where the points are computed, see `walk`.

    Raises:
        ValueError: directions of other weights, or a journal of other values.
    """
    points = Displacements(model, directions, grid, device)
    values, computed = walk(
        partial(_at_rows, station, model, directions, grid, device),
        len(grid),
        names=names,
        identity=lambda: points.identity(data, settings),
        journal=journal,
        label=label,
        executor=executor,
    )
    return Points(values, computed, points.explain([values[name] for name in finite], what))


def _at_rows(
    station: Callable[[], AtPoint],
    model: nn.Module,
    directions: Sequence[Direction],
    grid: Floats,
    device: torch.device,
) -> AtPlace:
    values_at, points = station(), Displacements(model, directions, grid, device)
    return lambda i: values_at(points[i])


def walk(
    make: Callable[[], AtPlace],
    n: int,
    *,
    names: Sequence[str],
    identity: Callable[[], str],
    journal: Path | str | None,
    label: str,
    executor: Executor | None = None,
    groups: Sequence[Sequence[int]] | None = None,
) -> tuple[dict[str, Floats], Mask]:
    """Take values at the places 0 ... n - 1, resuming from the journal.

    Args:
        make: returns what takes the values at a place, by name; names that are absent stay NaN. They may depend on
            nothing but the place: not on those visited before.
        n: number of places.
        names: all values, in the order of the journal.
        identity: a hash of everything that the values depend on; asked for only if there is a journal.
        journal: a file that keeps finished places; it is locked, so that only this process writes to it.
        label: of the progress bar.
        executor: where places are computed, each with one thread: the values are the same for any number of workers.
            `make` travels to them pickled, once each. None: here, in order, with this process's threads.
        groups: places that workers best compute together and in order; each for itself if absent.

    Returns:
        The values by name, each (n,), and which were computed.

    Raises:
        ValueError: a journal of other values or that is open elsewhere, or a `make` that cannot be sent to workers.
        WorkersLostError: the executor's workers are gone; the journal has what was finished.
    """
    values, computed = empty_values(names, n), np.zeros(n, dtype=bool)
    with Journal(journal, identity()) if journal else nullcontext() as book:
        if book:
            book.restore(values, computed)
        todo = [[i for i in group if not computed[i]] for group in groups or [[i] for i in range(n)]]
        todo = [group for group in todo if group]
        folder = Path(journal).parent if journal else None
        fresh: list[int] = []
        flushed = time.monotonic()
        with progress(label, n, done=int(computed.sum())) as advance:
            try:
                for i, found in spread(make, todo, executor, folder=folder):
                    for name, value in found.items():
                        values[name][i] = value
                    computed[i] = True
                    fresh.append(i)
                    advance(1)
                    if book and time.monotonic() - flushed > FLUSH_SECONDS:
                        # emptied first: what a signal interrupts in here must not be written twice
                        written, fresh, flushed = fresh, [], time.monotonic()
                        book.append(written, values)
            finally:
                if book and fresh:
                    book.append(fresh, values)
    return values, computed


def _require(directions: Sequence[Direction], state: Mapping[str, Tensor]) -> None:
    for direction in directions:
        direction.require(state)


def _explain(
    state: Mapping[str, Tensor], directions: Sequence[Direction], grid: Floats, arrays: Sequence[Floats], what: str
) -> str:
    """Return why values are not finite, empty when all are."""
    bad = np.flatnonzero(~np.isfinite(arrays).all(axis=0))
    if not len(bad):
        return ""
    if not all(bool(torch.isfinite(t).all()) for t in state.values()):
        return "the checkpoint's own weights are not finite"
    names = [n for n in state if n.endswith("running_var") and any(n in d.tensors for d in directions)]
    negative = sum(
        any(bool((p[n] < 0).any()) for n in names) for p in (displaced(state, directions, grid[i]) for i in bad)
    )
    reasons = []
    if negative:
        reasons.append(f"{negative} points have a negative extrapolated running variance, where the loss is undefined")
    if len(bad) > negative:
        reasons.append(f"{len(bad) - negative} points have {what}")
    return "; ".join(reasons)
