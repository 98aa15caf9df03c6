"""The loss on planes through three points in weight space (Garipov et al. 2018, Fig. 1)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Array, Data, Evaluator, model_state
from lossatlas.engine.inputs import network_inputs
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.plane_basis import POINT_NAMES, Basis, State, require_points
from lossatlas.landscape.points import content, measured, walk_points
from lossatlas.landscape.projection import enclosing
from lossatlas.results import VALUES, Floats, Plane

Treatment = Literal["refreshed", "frozen"]


def _at(model: nn.Module, point: State) -> nn.Module:
    """Return a copy of the network at a point."""
    moved = copy.deepcopy(model)
    moved.load_state_dict({name: point[name] for name in model_state(model)})
    return moved


class _Losses:
    """Loss and accuracy at points, each with the statistics of batch normalization that are wanted there."""

    def __init__(
        self, model: nn.Module, splits: Mapping[str, Data], *, statistics: Statistics | None, **engine: Any
    ) -> None:
        self._statistics = statistics if statistics and statistics.layers else None
        self._evaluator = Evaluator(model, splits, **engine)

    def __call__(self, point: State) -> dict[str, float]:
        return measured(self._evaluator, self._statistics(point) if self._statistics else point)

    @property
    def device(self) -> torch.device:
        return self._evaluator.device

    @property
    def refresh(self) -> dict[str, int | None]:
        """What was refreshed from how much; nothing where statistics are frozen or there are none."""
        if self._statistics is None:
            return {"examples": 0, "batch_size": None, "layers": 0}
        return {name: getattr(self._statistics, name) for name in ("examples", "batch_size", "layers")}


def _losses(model: nn.Module, splits: Mapping[str, Data], renewed: tuple[Tensor, int] | None, **engine: Any) -> _Losses:
    """Return what measures points; `renewed`: the examples that refresh statistics, and how many at once."""
    fresh = None
    if renewed is not None:
        fresh = Statistics(model, renewed[0], batch_size=renewed[1], device=engine["device"])
    return _Losses(model, splits, statistics=fresh, **engine)


@dataclass(frozen=True)
class PlaneThrough:
    """A plane through three points, with the losses at the points themselves and a path on it.

    Attributes:
        plane: losses on a grid; coordinates are L2 distances from the first point along the axes.
        axes: orthonormal directions from the first point.
        coordinates: of the three points, (3, 2).
        values: losses and accuracies at the three points by name, each (3,).
        path: coordinates of the path, (n, 2).
        off_plane: L2 distances of the path's points from the plane, (n,).
    """

    plane: Plane
    axes: tuple[Direction, Direction]
    coordinates: Floats
    values: dict[str, Floats]
    path: Floats
    off_plane: Floats


def plane_through(
    model: nn.Module,
    points: Sequence[State],
    train: Data,
    test: Data | None = None,
    *,
    names: Sequence[str] = POINT_NAMES,
    path: Iterable[State] = (),
    blend: Floats | None = None,
    statistics: Treatment = "refreshed",
    refresh: Array | None = None,
    refresh_batch_size: int = 128,
    margin: float = 0.2,
    points_per_axis: int = 21,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    journal: Path | str | None = None,
    label: str = "plane",
    executor: Executor | None = None,
) -> PlaneThrough:
    """Evaluate a network on the plane through three points, such as minimizers or a curve's bends.

    Args:
        model: the network with any weights; it is left untouched.
        points: three states of it, see `Basis.of`.
        train: normalized inputs (n, ...) and integer labels (n,), as tensors, arrays or lists.
        test: the same for the test set.
        names: of the points, for errors and provenance.
        path: points that the grid encloses as well, see `Basis.follow`.
        blend: see `Basis.follow`.
        statistics: of batch normalization: `refreshed` at every point (a network without it has nothing to refresh), or
            `frozen`, those of the first point everywhere. Other buffers are those of the first point.
        refresh: clean normalized inputs for the refresh; those of `train` if absent.
        refresh_batch_size: examples per pass of the refresh, which its result depends on.
        margin: added to points and path on each side, as a fraction of their extent.
        points_per_axis: of the grid, at least 2.
        batch_size: examples per forward pass.
        device: where to compute.
        journal: a file that keeps finished points, so that a killed evaluation goes on.
        label: of the progress bar.
        executor: where the points are computed, any `concurrent.futures.Executor`; the values are the same for any
            number of workers. None: here.

    Raises:
        NoPlaneError: see `Basis.of`.
        ValueError: impossible points, ranges or data, or another treatment of statistics.
    """
    if statistics not in get_args(Treatment):
        raise ValueError(f"statistics = {statistics!r} is unknown; allowed: {', '.join(get_args(Treatment))}")
    origin = _at(model, require_points(model, points, names)[0])
    start = model_state(origin)
    basis = Basis.of(origin, (start, *points[1:]), names=names)
    followed, off_plane = basis.follow(path, blend=blend)
    x, y = enclosing(np.concatenate([basis.coordinates, followed]), margin=margin, points=points_per_axis)
    splits = {"train": train} if test is None else {"train": train, "test": test}
    inputs = network_inputs(origin, train[0] if refresh is None else refresh)
    renewed = (inputs, refresh_batch_size) if statistics == "refreshed" else None
    station = partial(_losses, origin, splits, renewed, batch_size=batch_size, device=device)
    losses = station()
    axes = basis.axes()
    walked = walk_points(
        origin,
        splits,
        axes,
        np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2),
        station if executor else lambda: losses,
        names=VALUES,
        finite=[f"{name}_loss" for name in splits],
        settings={"batch_size": batch_size, "refresh": losses.refresh, "inputs": content(inputs)},
        device=losses.device,
        journal=journal,
        label=label,
        executor=executor,
    )
    found = [losses({**start, **{name: point[name] for name in axes[0].tensors}}) for point in basis.points]
    provenance = {
        "directions": [axis.description() for axis in axes],
        "examples": [len(train[1]), 0 if test is None else len(test[1])],
        "through": list(names),
        "margin": margin,
        "statistics": statistics,
        "refresh": losses.refresh,
    }
    shape = (points_per_axis, points_per_axis)
    grid = {name: values.reshape(shape) for name, values in walked.values.items()}
    computed = walked.computed.reshape(shape)
    return PlaneThrough(
        plane=Plane(x=x, y=y, **grid, computed=computed, note=walked.note, provenance=provenance),
        axes=axes,
        coordinates=basis.coordinates,
        values={name: np.array([values.get(name, np.nan) for values in found]) for name in VALUES},
        path=followed,
        off_plane=off_plane,
    )
