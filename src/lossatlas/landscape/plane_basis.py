"""The plane through three points in weight space: orthonormal axes by Gram-Schmidt, coordinates in true distance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.landscape.directions import Direction
from lossatlas.landscape.states import require_state
from lossatlas.models.weights import weights_hash
from lossatlas.results import Floats

State = Mapping[str, Tensor]

# float64 numbers that are worked on at a time (32 MiB)
_BLOCK = 1 << 22
# distances below this many roundings of the weights are none
_ROUNDINGS = 4
POINT_NAMES = ("point 0", "point 1", "point 2")


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
    def of(cls, model: nn.Module, points: Sequence[State], *, names: Sequence[str] = POINT_NAMES) -> Basis:
        """Span the plane by Gram-Schmidt: only parameters count, biases and those of batch normalization among them.

        Args:
            model: the network, which says what is a parameter and which names share one.
            points: three states of it.
            names: of the points, for errors.

        Raises:
            NoPlaneError: two points coincide, the three lie on one line, or one is not finite.
            ValueError: not three points, or one that does not fit the network.
        """
        p0, p1, p2 = require_points(model, points, names)
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


def require_points(model: nn.Module, points: Sequence[State], names: Sequence[str]) -> Sequence[State]:
    """Return the three points of a plane through a network's weights.

    Args:
        model: the network.
        points: three states of it.
        names: of the points, for errors.

    Raises:
        ValueError: not three points, or one that does not fit the network.
    """
    if len(points) != 3 or len(names) != 3:
        raise ValueError(f"points has {len(points)} and names {len(names)}; a plane goes through 3")
    for point, called in zip(points, names, strict=True):
        require_state(model, point, called=called)
    return points


def _rounding(start: State, names: Iterable[str], norms: Tensor, called: Sequence[str]) -> float:
    """Return a distance that rounding of the weights could make; refuse points that are not finite."""
    if not norms.isfinite().all():
        bad = called[int(norms.isfinite().int().argmin())]
        raise NoPlaneError(f"{bad} holds weights that are not finite, so there is no plane; take another point")
    epsilon = max(torch.finfo(start[name].dtype).eps for name in names)
    return _ROUNDINGS * epsilon * float(norms.max().sqrt())
