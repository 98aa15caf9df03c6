"""Planes through three points in weight space, axes by Gram-Schmidt in true distance (Garipov et al. 2018, Fig. 1)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Array, Data, Evaluator, as_tensor, model_state
from lossatlas.engine.statistics import Statistics
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.points import content, measured, walk_points
from lossatlas.landscape.projection import enclosing
from lossatlas.models.weights import weights_hash
from lossatlas.results import VALUES, Floats, Plane

State = Mapping[str, Tensor]
Treatment = Literal["refreshed", "frozen"]

# float64 numbers that are worked on at a time (32 MiB)
_BLOCK = 1 << 22
# distances below this many roundings of the weights are none
_ROUNDINGS = 4
_NAMES = ("point 0", "point 1", "point 2")


class NoPlaneError(ValueError):
    """Three points that span no plane: two coincide, all lie on one line, or one is not finite."""


def _blocks(states: Sequence[State], names: Iterable[str]) -> Iterator[tuple[str, slice, Tensor]]:
    """Yield the states by blocks of columns: tensor name, flat places in it, values (states, k) in float64."""
    step = max(1, _BLOCK // len(states))
    for name in names:
        flat = [state[name].detach().reshape(-1) for state in states]
        for begin in range(0, len(flat[0]), step):
            part = slice(begin, begin + step)
            yield name, part, torch.stack([tensor[part].cpu().double() for tensor in flat])


def _shared_names(model: nn.Module) -> dict[str, list[str]]:
    """Return every floating-point parameter once by its first name, with all the names that it has."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.is_floating_point():
            names.setdefault(id(parameter), []).append(name)
    return {found[0]: found for found in names.values()}


@dataclass(frozen=True)
class Basis:
    """The plane through three points: p1 - p0 = along e1 and p2 - p0 = shear (p1 - p0) + across e2.

    The axes e1 and e2 are orthonormal, so that coordinates are true distances. They are not kept: all that is wanted of
    them is computed from the points in float64, a block at a time, so that little memory is needed beside the points.

    Attributes:
        points: the parameters of p0, p1 and p2 by name, p0 with its buffers.
        names: each parameter that counts, with all its names: tied weights are counted once, and move as one.
        along: distance of p1 from p0.
        shear: see above.
        across: distance of p2 from the line through p0 and p1.
    """

    points: tuple[State, State, State]
    names: Mapping[str, Sequence[str]]
    along: float
    shear: float
    across: float

    @classmethod
    def of(cls, model: nn.Module, points: Sequence[State], *, names: Sequence[str] = _NAMES) -> Basis:
        """Span the plane by Gram-Schmidt: only parameters count, biases and those of batch normalization among them.

        Args:
            model: the network, which says what is a parameter and which names share one.
            points: three states of it.
            names: of the points, for errors.

        Raises:
            NoPlaneError: two points coincide, the three lie on one line, or one is not finite.
            ValueError: not three points, or one that does not fit the network.
        """
        p0, p1, p2 = _fitting(model, points, names)
        shared = _shared_names(model)
        norms, sides, product = torch.zeros(3).double(), torch.zeros(3).double(), 0.0
        for _, _, (a, b, c) in _blocks((p0, p1, p2), shared):
            norms += torch.stack([a.square().sum(), b.square().sum(), c.square().sum()])
            sides += torch.stack([(b - a).square().sum(), (c - a).square().sum(), (c - b).square().sum()])
            product += float((b - a) @ (c - a))
        least = _rounding(p0, shared, norms, names)
        for side, (i, j) in zip(sides.sqrt().tolist(), ((0, 1), (0, 2), (1, 2)), strict=True):
            if side <= least:
                raise NoPlaneError(f"{names[i]} and {names[j]} coincide, so there is no plane; take three other points")
        square, shear = float(sides[0]), product / float(sides[0])
        # a second time: rounding in the first product leaves a little of e1 in e2
        left = [
            torch.stack([(b - a) @ rest, rest @ rest])
            for _, _, (a, b, c) in _blocks((p0, p1, p2), shared)
            for rest in (c - a - shear * (b - a),)
        ]
        again, across = torch.stack(left).sum(dim=0).tolist()
        if across**0.5 <= least:
            raise NoPlaneError(
                f"{', '.join(names[:2])} and {names[2]} lie on one line, so there is no plane; take three other points"
            )
        return cls((p0, p1, p2), shared, square**0.5, shear + again / square, across**0.5)

    @property
    def coordinates(self) -> Floats:
        """The three points, (3, 2)."""
        return np.array([[0.0, 0.0], [self.along, 0.0], [self.shear * self.along, self.across]])

    def _axes(self, rows: Tensor) -> Tensor:
        """Return a block of the axes, (2, k), from that of the points, (3 or more, k)."""
        first, second = rows[1] - rows[0], rows[2] - rows[0]
        return torch.stack([first / self.along, (second - self.shear * first) / self.across])

    def axes(self) -> tuple[Direction, Direction]:
        """Return the axes as directions from p0, in the precision of its weights."""
        start = self.points[0]
        made: list[dict[str, Tensor]] = [
            {name: torch.empty(start[name].shape, dtype=start[name].dtype) for name in self.names} for _ in range(2)
        ]
        for name, part, rows in _blocks(self.points, self.names):
            for tensors, values in zip(made, self._axes(rows), strict=True):
                tensors[name].view(-1)[part] = values.to(tensors[name].dtype)
        digest = weights_hash(start)
        x, y = (
            Direction(
                tensors={other: tensors[name] for name, others in self.names.items() for other in others},
                weights=digest,
                kind="gram_schmidt",
            )
            for tensors in made
        )
        return x, y

    def place(self, states: Sequence[State]) -> tuple[Floats, Floats]:
        """Project n points onto the plane.

        Returns:
            Coordinates (n, 2), and the inner products (n, n) of what is left of the points: the roots of the diagonal
            are their distances from the plane.
        """
        found = torch.zeros(len(states), 2, dtype=torch.float64)
        for _, _, rows in _blocks((*self.points, *states), self.names):
            found += (rows[3:] - rows[0]) @ self._axes(rows).T
        left = torch.zeros(len(states), len(states), dtype=torch.float64)
        for _, _, rows in _blocks((*self.points, *states), self.names):
            # from the remainders themselves: a difference of squares would lose half of the digits
            rest = rows[3:] - rows[0] - found @ self._axes(rows)
            left += rest @ rest.T
        return found.numpy(), left.numpy()

    def follow(self, states: Iterable[State], *, blend: Floats | None = None) -> tuple[Floats, Floats]:
        """Project a path onto the plane.

        Args:
            states: the points of the path, taken one at a time; with `blend` its nodes.
            blend: coefficients (m, nodes), rows with the sum 1, of points that are linear in the nodes.

        Returns:
            Coordinates (m, 2) and distances from the plane (m,).
        """
        if blend is None:
            placed = [self.place([state]) for state in states]
            coordinates = np.concatenate([np.empty((0, 2)), *(at for at, _ in placed)])
            return coordinates, np.sqrt([float(left[0, 0]) for _, left in placed])
        coordinates, left = self.place(tuple(states))
        squares = np.einsum("mi,ij,mj->m", blend, left, blend)
        return blend @ coordinates, np.sqrt(np.maximum(squares, 0.0))


def _fitting(model: nn.Module, points: Sequence[State], names: Sequence[str]) -> Sequence[State]:
    if len(points) != 3 or len(names) != 3:
        raise ValueError(f"points has {len(points)} and names {len(names)}; a plane goes through 3")
    for point, called in zip(points, names, strict=True):
        for name, tensor in model_state(model).items():
            if name not in point or point[name].shape != tensor.shape:
                found = tuple(point[name].shape) if name in point else "absent"
                raise ValueError(
                    f"{called} is no point of this network: {name!r} has shape {tuple(tensor.shape)}, there {found}"
                )
    return points


def _rounding(start: State, names: Iterable[str], norms: Tensor, called: Sequence[str]) -> float:
    """Return a distance that rounding of the weights could make; refuse points that are not finite."""
    if not norms.isfinite().all():
        bad = called[int(norms.isfinite().int().argmin())]
        raise NoPlaneError(f"{bad} holds weights that are not finite, so there is no plane; take another point")
    epsilon = max(torch.finfo(start[name].dtype).eps for name in names)
    return _ROUNDINGS * epsilon * float(norms.max().sqrt())


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
    names: Sequence[str] = _NAMES,
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

    Raises:
        NoPlaneError: see `Basis.of`.
        ValueError: impossible points, ranges or data, or another treatment of statistics.
    """
    if statistics not in get_args(Treatment):
        raise ValueError(f"statistics = {statistics!r} is unknown; allowed: {', '.join(get_args(Treatment))}")
    origin = _at(model, _fitting(model, points, names)[0])
    start = model_state(origin)
    basis = Basis.of(origin, (start, *points[1:]), names=names)
    followed, off_plane = basis.follow(path, blend=blend)
    x, y = enclosing(np.concatenate([basis.coordinates, followed]), margin=margin, points=points_per_axis)
    splits = {"train": train} if test is None else {"train": train, "test": test}
    inputs = as_tensor(train[0] if refresh is None else refresh)
    renewed = statistics == "refreshed"
    fresh = Statistics(origin, inputs, batch_size=refresh_batch_size, device=device) if renewed else None
    losses = _Losses(origin, splits, statistics=fresh, batch_size=batch_size, device=device)
    axes = basis.axes()
    walked = walk_points(
        origin,
        splits,
        axes,
        np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2),
        losses,
        names=VALUES,
        finite=[f"{name}_loss" for name in splits],
        settings={"batch_size": batch_size, "refresh": losses.refresh, "inputs": content(inputs)},
        device=losses.device,
        journal=journal,
        label=label,
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
