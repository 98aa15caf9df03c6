"""Evaluation of a network at displaced weights, point by point, with a journal that survives a kill."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Data, Evaluator, as_tensor, model_state
from lossatlas.files import sha256_bytes, sha256_json
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress
from lossatlas.results import VALUES, Floats, Mask

# a kill loses at most the points of this many seconds
FLUSH_SECONDS = 2.0


@dataclass(frozen=True)
class Points:
    """Values at the rows of a grid: `loss` and `accuracy` by data set, each (n,), and which were computed."""

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


def _content(tensor: Tensor) -> list[str]:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return [
        str(tensor.dtype),
        str(tuple(tensor.shape)),
        hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest(),
    ]


def _identity(
    state: Mapping[str, Tensor],
    directions: Sequence[Direction],
    grid: Floats,
    data: Mapping[str, Data],
    settings: Sequence[Any],
) -> str:
    parts: list[Any] = [weights_hash(state), sha256_bytes(np.ascontiguousarray(grid).tobytes()), settings]
    parts += [[d.description(), weights_hash(d.tensors)] for d in directions]
    parts += [[name, *(_content(as_tensor(values)) for values in examples)] for name, examples in data.items()]
    return sha256_json(parts)


def evaluate_points(
    model: nn.Module,
    data: Mapping[str, Data],
    directions: Sequence[Direction],
    grid: Floats,
    *,
    journal: Path | str | None,
    label: str,
    **engine: Any,
) -> Points:
    """Evaluate the rows of `grid` (n, number of directions) in order, resuming from the journal."""
    state = {name: tensor.clone() for name, tensor in model_state(model).items()}
    for direction in directions:
        direction.require(state)
    evaluator = Evaluator(model, data, **engine)
    moved = [{n: t.to(evaluator.device) for n, t in d.tensors.items()} for d in directions]
    placed = [Direction(tensors=t, weights=d.weights, kind=d.kind) for t, d in zip(moved, directions, strict=True)]
    state = {name: tensor.to(evaluator.device) for name, tensor in state.items()}
    values, computed = empty_values(VALUES, len(grid)), np.zeros(len(grid), dtype=bool)
    book = None
    if journal:
        # the network's description, and what decides about rounding
        settings = [repr(model), evaluator.device.type, {k: v for k, v in engine.items() if k != "device"}]
        book = Journal(journal, _identity(state, directions, grid, data, settings))
        book.restore(values, computed)
    todo = [int(i) for i in np.flatnonzero(~computed)]
    fresh: list[int] = []
    flushed = time.monotonic()
    with progress(label, len(grid), done=len(grid) - len(todo)) as advance:
        for i in todo:
            for name, found in evaluator(displaced(state, placed, grid[i])).items():
                values[f"{name}_loss"][i], values[f"{name}_accuracy"][i] = found.loss, found.accuracy
            computed[i] = True
            fresh.append(i)
            advance(1)
            if book and (i == todo[-1] or time.monotonic() - flushed > FLUSH_SECONDS):
                book.append(fresh, values)
                fresh, flushed = [], time.monotonic()
    return Points(values, computed, _explain(state, placed, grid, values, tested="test" in data))


def _explain(
    state: Mapping[str, Tensor],
    directions: Sequence[Direction],
    grid: Floats,
    values: Mapping[str, Floats],
    *,
    tested: bool,
) -> str:
    """Return why losses are not finite, empty when all are."""
    # without a test set its losses are NaN everywhere, and not to be explained
    losses = [a for n, a in values.items() if n.endswith("_loss") and (n == "train_loss" or tested)]
    bad = np.flatnonzero(~np.isfinite(losses).all(axis=0))
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
        reasons.append(f"{len(bad) - negative} points have a loss that overflows")
    return "; ".join(reasons)
