"""Profiles: the loss along several random directions, and the curvature along each (Li et al. 2018, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lossatlas.engine.evaluator import Data, as_tensor, model_state
from lossatlas.files import sha256_json
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.directions import Direction, Normalization, random_direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.landscape.points import evaluate_points
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress
from lossatlas.results import Floats, Profile


def profile_directions(
    model: nn.Module, *, repeats: int, seed: int, normalization: Normalization = "filter", exclude_1d: bool = True
) -> list[Direction]:
    """Draw `repeats` random directions; the first is that of `line` and the x axis of `plane` with the same seed."""
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; a profile needs at least 1 direction")
    return [
        random_direction(
            model_state(model),
            seed=seed,
            stream=f"direction_{row or 'x'}",
            normalization=normalization,
            exclude_1d=exclude_1d,
            parameters={name for name, _ in model.named_parameters(remove_duplicate=False)},
        )
        for row in range(repeats)
    ]


def profile(
    model: nn.Module,
    train: Data,
    test: Data | None = None,
    *,
    alpha: npt.ArrayLike | None = None,
    repeats: int = 10,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "profile",
    **engine: Any,
) -> Profile:
    """Evaluate a network along random directions, `theta + alpha d_i`, with `d_i' H d_i` of the training loss at 0.

    Args:
        model: a classifier that returns logits; it is left untouched.
        train: normalized inputs (n, ...) and integer labels (n,), as tensors, arrays or lists.
        test: the same for the test set.
        alpha: coordinates, (k,); 51 from -1 to 1 if absent.
        repeats: number of directions, the rows of the profile.
        seed: of the directions; row 0 is the line of the same seed, the others have streams of their own.
        normalization: of the directions, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the directions.
        batch_size: examples per pass.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on; curvatures lie beside it.
        label: of the progress bar.
        **engine: `channels_last`, `fold`, `fuse`: see `Evaluator`.

    Raises:
        ValueError: impossible coordinates, repeats or data, or a network that is not deterministic.
    """
    axis = np.asarray(np.linspace(-1, 1, 51) if alpha is None else alpha, dtype=np.float64)
    if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all():
        raise ValueError(f"alpha has shape {axis.shape}; it must be a vector of at least one finite coordinate")
    directions = profile_directions(
        model, repeats=repeats, seed=seed, normalization=normalization, exclude_1d=exclude_1d
    )
    points = evaluate_points(
        model,
        {"train": train} if test is None else {"train": train, "test": test},
        directions,
        _one_at_a_time(axis, repeats),
        journal=journal,
        label=label,
        batch_size=batch_size,
        device=device,
        **engine,
    )
    curvature = curvatures(
        model,
        train,
        directions,
        exclude_1d=exclude_1d,
        batch_size=batch_size,
        device=device,
        journal=None if journal is None else Path(journal).with_suffix(".curvature.jsonl"),
        label=f"{label} curvature",
    )
    shape = (repeats, len(axis))
    return Profile(
        alpha=axis,
        **{name: values.reshape(shape) for name, values in points.values.items()},
        computed=points.computed.reshape(shape),
        curvature=curvature,
        rows=tuple(f"direction {row}" for row in range(repeats)),
        note=points.note,
        provenance={
            "directions": [direction.description() for direction in directions],
            "examples": [len(train[1]), 0 if test is None else len(test[1])],
        },
    )


def _one_at_a_time(alpha: Floats, repeats: int) -> Floats:
    """Return the coordinates (repeats * k, repeats) of every row's points, one direction moving at a time.

    Adding another direction's zeros changes no weight, so a row has the bits of the line along its direction alone.
    """
    grid: Floats = np.kron(np.eye(repeats), alpha[:, None]).astype(np.float64)
    return grid


def curvatures(
    model: nn.Module,
    train: Data,
    directions: Sequence[Direction],
    *,
    exclude_1d: bool = True,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "curvature",
) -> Floats:
    """Return `d' H d` of the mean training loss at the model's weights for each direction, shape (directions,).

    Exact Hessian-vector products in eval mode; nats per example and squared multiple of the direction.

    Args:
        model: a classifier that returns logits; it is left untouched.
        train: normalized inputs (n, ...) and integer labels (n,).
        directions: random directions from the model's weights.
        exclude_1d: whether the directions leave out tensors of one dimension.
        batch_size: examples per pass; results depend on it only by rounding.
        device: where to compute.
        journal: a file that keeps finished directions, so that a killed computation goes on.
        label: of the progress bar.

    Raises:
        ValueError: a direction belongs to other weights, or the journal to another computation.
    """
    state = model_state(model)
    for direction in directions:
        direction.require(state)
    values, computed = empty_values(["curvature"], len(directions)), np.zeros(len(directions), dtype=bool)
    book = None
    if journal:
        # numbers of any type, for the hash of floating-point ones
        examples = {str(i): t if t.is_floating_point() else t.double() for i, t in enumerate(map(as_tensor, train))}
        hashes = [weights_hash(tensors) for tensors in (state, examples, *(d.tensors for d in directions))]
        settings = [repr(model), torch.device(device).type, batch_size, exclude_1d]
        book = Journal(journal, sha256_json([hashes, settings]))
        book.restore(values, computed)
    todo = [int(i) for i in np.flatnonzero(~computed)]
    if todo:
        operator = HessianOperator(
            model, train, batch_size=batch_size, device=device, weights="matrices" if exclude_1d else "all"
        )
    with progress(label, len(directions), done=len(directions) - len(todo), unit="directions") as advance:
        for i in todo:
            along = operator.flatten(directions[i].tensors)
            values["curvature"][i] = float(along.double() @ operator.product(along).double())
            if book:
                book.append([i], values)
            advance(1)
    return values["curvature"]
