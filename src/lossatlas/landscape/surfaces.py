"""Lines and planes: losses and accuracies at multiples of directions from a checkpoint."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Evaluator, Examples, model_state
from lossatlas.files import sha256_bytes, sha256_json
from lossatlas.landscape.directions import Direction, Normalization, random_direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress
from lossatlas.results import VALUES, Floats, Line, Mask, Plane

# a kill loses at most the points of this many seconds
_FLUSH_SECONDS = 2.0


@dataclass(frozen=True)
class _Points:
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
    data: Mapping[str, Examples],
    settings: Sequence[Any],
) -> str:
    parts: list[Any] = [weights_hash(state), sha256_bytes(np.ascontiguousarray(grid).tobytes()), settings]
    parts += [[d.description(), weights_hash(d.tensors)] for d in directions]
    parts += [[name, *map(_content, examples)] for name, examples in data.items()]
    return sha256_json(parts)


def _evaluate(
    model: nn.Module,
    data: Mapping[str, Examples],
    directions: Sequence[Direction],
    grid: Floats,
    *,
    journal: Path | None,
    label: str,
    **engine: Any,
) -> _Points:
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
            if book and (i == todo[-1] or time.monotonic() - flushed > _FLUSH_SECONDS):
                book.append(fresh, values)
                fresh, flushed = [], time.monotonic()
    return _Points(values, computed, _explain(state, placed, grid, values, tested="test" in data))


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


def _coordinates(name: str, values: npt.ArrayLike) -> Floats:
    axis = np.asarray(values, dtype=np.float64)
    if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all():
        raise ValueError(f"{name} has shape {axis.shape}; it must be a vector of at least one finite coordinate")
    return axis


def _parameters(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def _splits(train: Examples, test: Examples | None) -> dict[str, Examples]:
    return {"train": train} if test is None else {"train": train, "test": test}


def line(
    model: nn.Module,
    train: Examples,
    test: Examples | None = None,
    *,
    direction: Direction | None = None,
    alpha: npt.ArrayLike | None = None,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    journal: Path | None = None,
    label: str = "line",
    **engine: Any,
) -> Line:
    """Evaluate a network along a line, `theta + alpha d` (Li et al. 2018, sections 3 and 4).

    Args:
        model: a classifier that returns logits; it is left untouched.
        train: normalized inputs (n, ...) and labels (n,).
        test: the same for the test set.
        direction: the direction; a random one is drawn from `seed` if absent.
        alpha: coordinates, (k,); 51 from -1 to 1 if absent.
        seed: of the random direction.
        normalization: of the random direction, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the random direction.
        batch_size: examples per forward pass.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        **engine: `channels_last`, `fold`: see `Evaluator`.

    Raises:
        ValueError: impossible coordinates or data, a direction of other weights, a network that is not deterministic.
    """
    grid = _coordinates("alpha", np.linspace(-1, 1, 51) if alpha is None else alpha)
    along = direction or random_direction(
        model_state(model),
        seed=seed,
        normalization=normalization,
        exclude_1d=exclude_1d,
        parameters=_parameters(model),
    )
    points = _evaluate(
        model,
        _splits(train, test),
        [along],
        grid[:, None],
        journal=journal,
        label=label,
        batch_size=batch_size,
        device=device,
        **engine,
    )
    provenance = {"direction": along.description(), "examples": [len(train[1]), 0 if test is None else len(test[1])]}
    return Line(alpha=grid, **points.values, computed=points.computed, note=points.note, provenance=provenance)


def plane(
    model: nn.Module,
    train: Examples,
    test: Examples | None = None,
    *,
    directions: tuple[Direction, Direction] | None = None,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    journal: Path | None = None,
    label: str = "plane",
    **engine: Any,
) -> Plane:
    """Evaluate a network on a plane, `theta + x d_x + y d_y` (Li et al. 2018, equation 1).

    Args:
        model: a classifier that returns logits; it is left untouched.
        train: normalized inputs (n, ...) and labels (n,).
        test: the same for the test set.
        directions: the two axes; random ones are drawn from `seed` if absent.
        x: coordinates along the first axis, (nx,); 51 from -1 to 1 if absent.
        y: coordinates along the second, (ny,); as `x` if absent.
        seed: of the random directions.
        normalization: of the random directions, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the random directions.
        batch_size: examples per forward pass.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        **engine: `channels_last`, `fold`: see `Evaluator`.

    Raises:
        ValueError: impossible coordinates or data, directions of other weights, a network that is not deterministic.
    """
    xs = _coordinates("x", np.linspace(-1, 1, 51) if x is None else x)
    ys = _coordinates("y", xs if y is None else y)
    axes = directions or tuple(
        random_direction(
            model_state(model),
            seed=seed,
            stream=stream,
            normalization=normalization,
            exclude_1d=exclude_1d,
            parameters=_parameters(model),
        )
        for stream in ("direction_x", "direction_y")
    )
    grid = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    points = _evaluate(
        model,
        _splits(train, test),
        axes,
        grid,
        journal=journal,
        label=label,
        batch_size=batch_size,
        device=device,
        **engine,
    )
    shape = (len(xs), len(ys))
    values = {name: array.reshape(shape) for name, array in points.values.items()}
    provenance = {
        "directions": [axis.description() for axis in axes],
        "examples": [len(train[1]), 0 if test is None else len(test[1])],
    }
    return Plane(x=xs, y=ys, **values, computed=points.computed.reshape(shape), note=points.note, provenance=provenance)
