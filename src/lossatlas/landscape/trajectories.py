"""Trajectories of a training on a plane of its loss: principal, random and start-to-end axes (Li et al. 2018, 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Data
from lossatlas.landscape.directions import Direction, Span, direction_between, random_direction
from lossatlas.landscape.projection import alignment, enclosing, project
from lossatlas.landscape.surfaces import plane
from lossatlas.landscape.weightpath import StraightPathError, WeightPath
from lossatlas.results import Floats, History, Plane, Trajectory

Axes = Literal["pca", "random", "random_and_start"]

# a component with less of the variation cannot be told from the rounding of float32 weights
_NOTHING = 1e-10


def _components(path: WeightPath, *, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the variances of the components in falling order, (k,), their rows' factors, (n + 1, k), and the sum."""
    gram = path.gram
    mean = torch.full_like(gram, 1 / len(path)) if centred else torch.zeros_like(gram)
    centre = torch.eye(len(path), dtype=gram.dtype) - mean
    values, vectors = torch.linalg.eigh(centre @ gram @ centre)
    # one component less than there are checkpoints: the last row is zero, or their mean is
    kept = min(len(path) - 1, path.size)
    values, vectors = values.flip(0)[:kept].clamp(min=0), vectors.flip(1)[:, :kept]
    return values, centre @ vectors / values.sqrt(), values.sum()


def explained_variance(path: WeightPath, *, centred: bool = True) -> Floats:
    """Return the explained variance ratios of all components that can differ from zero: falling, (k,), sum 1.

    Args:
        path: n + 1 checkpoints; k is n, or the number of weights if that is smaller.
        centred: see `principal_axes`.

    Raises:
        StraightPathError: all checkpoints are equal.
        ValueError: a checkpoint is not finite.
    """
    values, _, total = _components(path, centred=centred)
    return (values / total).numpy()


def principal_axes(path: WeightPath, *, count: int = 2, centred: bool = True) -> tuple[Direction, ...]:
    """Return the first principal components of the rows theta_i - theta_n, the last row of zeros included.

    They come from the inner products of the rows: with the eigenvectors u and eigenvalues s^2 of that small matrix the
    components are sum_i u_i r_i / s. They are orthonormal; signs are such that the first checkpoint that has a
    coordinate has a positive one.

    Args:
        path: the checkpoints.
        count: how many directions to make.
        centred: subtract the mean of the rows, as the authors' program does; else components are those of the squared
            distances from the last checkpoint.

    Raises:
        StraightPathError: the path has fewer than `count` components.
        ValueError: a checkpoint is not finite.
    """
    values, factors, total = _components(path, centred=centred)
    found = int((values / total > _NOTHING).sum())
    if found < count:
        raise StraightPathError(
            f"the path of {len(path)} checkpoints has {found} principal component(s), fewer than count = {count}; "
            "keep checkpoints from more of the training, or take other axes"
        )
    factors = factors[:, :count]
    coordinates = path.gram @ factors
    first = (coordinates.abs() > 1e-6 * coordinates.abs().amax(dim=0)).int().argmax(dim=0)
    signs = coordinates.gather(0, first[None]).sign()
    return tuple(
        Direction(tensors=tensors, weights=path.final, kind="pca", exclude_1d=path.exclude_1d, span=path.span)
        for tensors in path.combined(factors * signs)
    )


def _random(path: WeightPath, seed: int, stream: str) -> Direction:
    return random_direction(
        path.states[-1], seed=seed, stream=stream, exclude_1d=path.exclude_1d, parameters=path.names
    )


def _to_start(path: WeightPath) -> Direction:
    """Return theta_0 - theta_n in the tensors that the path is followed in: 1 is the first checkpoint."""
    whole = direction_between(path.states[-1], path.states[0], span=path.span)
    tensors = {name: whole.tensors[name] for name in path.names}
    return replace(whole, tensors=tensors, exclude_1d=path.exclude_1d)


def plane_axes(path: WeightPath, kind: Axes, *, seed: int = 0, centred: bool = True) -> tuple[Direction, Direction]:
    """Return the two directions of a plane for a path.

    Args:
        path: the checkpoints.
        kind: `pca`; `random`, two filter-normalized directions; or `random_and_start`, one of those and the direction
            from the last to the first checkpoint (Li et al. 2018, Fig. 8).
        seed: of the random directions.
        centred: of the principal components, see `principal_axes`.

    Raises:
        StraightPathError: the path has no second principal component.
        ValueError: an unknown kind.
    """
    if kind == "pca":
        x, y = principal_axes(path, centred=centred)
        return x, y
    if kind not in get_args(Axes):
        raise ValueError(f"axes = {kind!r} is unknown; allowed: {', '.join(get_args(Axes))}")
    y = _random(path, seed, "direction_y") if kind == "random" else _to_start(path)
    return _random(path, seed, "direction_x"), y


def learning_rate_drops(history: History) -> tuple[str, ...]:
    """Return the epochs after which the learning rate was lowered: the last step of the next one had a lower rate.

    A schedule that falls gradually lowers it after every epoch.
    """
    lowered = history.learning_rate[1:] < history.learning_rate[:-1]
    return tuple(str(int(epoch)) for epoch in history.epoch[:-1][lowered])


@dataclass(frozen=True)
class PathOnPlane:
    """A path on a plane of the loss: coordinates, losses, and the directions that both are multiples of."""

    trajectory: Trajectory
    plane: Plane
    directions: tuple[Direction, Direction]


def trajectory(
    model: nn.Module,
    checkpoints: Sequence[Mapping[str, Tensor] | Path | str],
    train: Data,
    test: Data | None = None,
    *,
    epochs: Sequence[int] | None = None,
    axes: Axes = "pca",
    centred: bool = True,
    span: Span = "weights",
    exclude_1d: bool = False,
    seed: int = 0,
    margin: float = 0.1,
    points: int = 51,
    drops: tuple[str, ...] = (),
    **evaluation: Any,
) -> PathOnPlane:
    """Project the path of a training onto a plane and evaluate the loss there (Li et al. 2018, section 7).

    Args:
        model: the network with the weights of the last checkpoint; it is left untouched.
        checkpoints: at least 3 in order, the last included: state dictionaries or files, see `WeightPath.of`.
        train: normalized inputs and integer labels, see `plane`.
        test: the same for the test set.
        epochs: of the checkpoints, (n + 1,); 0, 1, ... if absent.
        axes: see `plane_axes`.
        centred: centre the rows, both for components and for the share of the variation that is captured.
        span: follow the `weights`, or `states` (running statistics too).
        exclude_1d: leave out biases and batch normalization.
        seed: of random directions.
        margin: added to the path on either side, as a fraction of its extent.
        points: grid points per axis.
        drops: epochs after which the learning rate was lowered, kept with the result.
        **evaluation: `batch_size`, `device`, `journal`, `label` and others: see `plane`.

    Raises:
        StraightPathError: the path has no second principal component.
        ValueError: too few checkpoints, differing or equal ones, a model with other weights, impossible ranges or data.
    """
    numbers = range(len(checkpoints)) if epochs is None else epochs
    if len(checkpoints) < 3:
        raise ValueError(f"checkpoints has {len(checkpoints)}; a path in a plane needs at least 3: keep more of them")
    if len(numbers) != len(checkpoints):
        raise ValueError(f"epochs has {len(numbers)} numbers for {len(checkpoints)} checkpoints; pass one for each")
    parameters = dict(model.named_parameters())  # tied weights once: a second name would count them twice
    path = WeightPath.of(checkpoints, span=span, exclude_1d=exclude_1d, parameters=parameters)
    directions = plane_axes(path, axes, seed=seed, centred=centred)
    ratios = explained_variance(path, centred=centred)
    found = project(path, directions, centred=centred)
    x, y = enclosing(found.coordinates, margin=margin, points=points)
    surface = plane(model, train, test, directions=directions, x=x, y=y, **evaluation)
    about = {"centred": centred, "span": span, "exclude_1d": exclude_1d, "margin": margin, "weights": path.size}
    followed = Trajectory(
        epoch=np.asarray(numbers, dtype=np.int64),
        path_x=found.coordinates[:, 0],
        path_y=found.coordinates[:, 1],
        distance=path.gram.diagonal().sqrt().numpy(),
        alignment=alignment(surface, found.coordinates, found.metric),
        captured=ratios[:2] if axes == "pca" else found.captured,
        spectrum=ratios,
        drops=drops,
        axes=axes,
        note=surface.note,
        provenance={**about, "directions": surface.provenance["directions"]},
    )
    return PathOnPlane(followed, surface, directions)
