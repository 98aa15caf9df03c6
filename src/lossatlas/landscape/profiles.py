"""Profiles: the loss along several random directions, and the curvature along each (Li et al. 2018, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lossatlas.engine.batches import AnyData
from lossatlas.engine.evaluator import model_state
from lossatlas.engine.general import examples, general, settled
from lossatlas.engine.identity import model_code
from lossatlas.engine.objective import Criterion, Objective
from lossatlas.files import sha256_json
from lossatlas.landscape.curvature import Weights
from lossatlas.landscape.directions import Direction, Normalization, random_direction
from lossatlas.landscape.general_curvature import hessian_operator
from lossatlas.landscape.points import AtPlace, data_content, evaluate_points, walk
from lossatlas.models.weights import weights_hash
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
    train: AnyData,
    test: AnyData | None = None,
    *,
    alpha: npt.ArrayLike | None = None,
    repeats: int = 10,
    seed: int = 0,
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    batch_size: int = 128,
    loss: Criterion | None = None,
    accuracy: Criterion | None = None,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "profile",
    executor: Executor | None = None,
    **engine: Any,
) -> Profile:
    """Evaluate a network along random directions, `theta + alpha d_i`, with `d_i' H d_i` of the training loss at 0.

    Args:
        model: any network; it is left untouched.
        train: the data, see `plane`.
        test: the same for the test set.
        alpha: coordinates, (k,); 51 from -1 to 1 if absent.
        repeats: number of directions, the rows of the profile.
        seed: of the directions; row 0 is the line of the same seed, the others have streams of their own.
        normalization: of the directions, see `normalize_like`.
        exclude_1d: leave biases and batch normalization out of the directions.
        batch_size: examples per pass.
        loss: see `plane`.
        accuracy: see `plane`.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on; curvatures lie beside it.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.
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
    given = {"train": train} if test is None else {"train": train, "test": test}
    splits = settled(model, given, batch_size=batch_size, loss=loss, accuracy=accuracy)
    points = evaluate_points(
        model,
        splits,
        directions,
        _one_at_a_time(axis, repeats),
        journal=journal,
        label=label,
        executor=executor,
        batch_size=batch_size,
        device=device,
        loss=loss,
        accuracy=accuracy,
        **engine,
    )
    curvature = curvatures(
        model,
        splits["train"],
        directions,
        loss=loss,
        exclude_1d=exclude_1d,
        batch_size=batch_size,
        device=device,
        journal=None if journal is None else Path(journal).with_suffix(".curvature.jsonl"),
        label=f"{label} curvature",
        executor=executor,
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
            "examples": [examples(splits[name]) if name in splits else 0 for name in ("train", "test")],
            **({"precision": engine["precision"]} if engine.get("precision", "float32") != "float32" else {}),
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
    train: AnyData,
    directions: Sequence[Direction],
    *,
    exclude_1d: bool = True,
    batch_size: int = 128,
    loss: Criterion | None = None,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "curvature",
    executor: Executor | None = None,
) -> Floats:
    """Return `d' H d` of the mean training loss at the model's weights for each direction, shape (directions,).

    Exact Hessian-vector products in eval mode; nats per example and squared multiple of the direction.

    Args:
        model: any network; it is left untouched.
        train: the data, see `plane`.
        directions: random directions from the model's weights.
        exclude_1d: whether the directions leave out tensors of one dimension.
        batch_size: examples per pass; results depend on it only by rounding.
        loss: see `plane`.
        device: where to compute.
        journal: a file that keeps finished directions, so that a killed computation goes on.
        label: of the progress bar.
        executor: where directions are computed, see `profile`.

    Raises:
        ValueError: a direction belongs to other weights, or the journal to another computation.
    """
    state = model_state(model)
    for direction in directions:
        direction.require(state)
    train = settled(model, {"train": train}, batch_size=batch_size, loss=loss)["train"]

    def identity() -> str:
        hashes = [weights_hash(tensors) for tensors in (state, *(d.tensors for d in directions))]
        own = Objective(loss).identity() if general({"train": train}, loss=loss, accuracy=None) else {}
        about = [repr(model), model_code(model), torch.device(device).type, batch_size, exclude_1d, own]
        return sha256_json([hashes, data_content(train), about])

    weights: Weights = "matrices" if exclude_1d else "all"
    options = {"batch_size": batch_size, "device": device, "weights": weights, "loss": loss}
    values, _ = walk(
        partial(_curving, model, train, directions, options),
        len(directions),
        names=["curvature"],
        identity=identity,
        journal=journal,
        label=label,
        executor=executor,
    )
    return values["curvature"]


def _curving(model: nn.Module, train: Any, directions: Sequence[Direction], options: Mapping[str, Any]) -> AtPlace:
    """Return what takes the curvature along a direction."""
    operator = hessian_operator(model, train, **options)

    def curvature(i: int) -> dict[str, float]:
        along = operator.flatten(directions[i].tensors)
        return {"curvature": float(along.double() @ operator.product(along).double())}

    return curvature
