"""Places of a grid in short chains: what is found at one is where the search at the next begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

State = TypeVar("State")
# the values at a place by name, and what its successor begins with; takes what the predecessor left, None at a head
Follow = Callable[[int, State | None], tuple[Mapping[str, float], State]]

# places in a chain at most: a computation that was killed does as many over at most, and as many stay on one worker
LONGEST = 8


def row_chains(rows: int, columns: int) -> list[list[int]]:
    """Return the places 0 ... rows * columns - 1 of a grid in chains along its rows, nearly equal in length."""
    parts = np.array_split(np.arange(columns), max(math.ceil(columns / LONGEST), 1))
    return [[row * columns + int(i) for i in part] for row in range(rows) for part in parts]


class Chained(Generic[State]):
    """Computes values at places of chains, whichever is asked for; taken in order, each is computed once.

    The value at a place depends on the place alone: its chain is followed from the head, or from where it was left, so
    that neither a kill nor the number of workers changes anything.

    Args:
        chains: the places of each chain in order.
        follow: what computes a place.
    """

    def __init__(self, chains: Sequence[Sequence[int]], follow: Follow[State]) -> None:
        """See the class."""
        self._chain = {place: chain for chain in chains for place in chain}
        self._follow = follow
        self._last: int | None = None
        self._state: State | None = None

    def __call__(self, place: int) -> Mapping[str, float]:
        """Return the values at a place."""
        chain = self._chain[place]
        end = chain.index(place)
        known = chain.index(self._last) + 1 if self._last in chain[:end] else 0
        state = self._state if known else None
        for at in chain[known : end + 1]:
            values, state = self._follow(at, state)
        self._last, self._state = place, state
        return values
