"""What is reported is a mean over all examples: a mean that a function takes of a batch must be one over examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

from lossatlas.engine.batches import Batch
from lossatlas.engine.objective import mean

Parts = Callable[[Batch], Sequence[Any]]  # total and count of the loss, and those of the accuracy or None


def require_additive(batches: Sequence[Batch], parts: Parts, averages: tuple[bool, bool]) -> None:
    """Refuse a loss or an accuracy whose mean over examples depends on how these are divided into batches.

    Where a function returns the mean of a batch, each batch is cut in two, and all neighbours among the pieces are
    compared with both together: three passes over the data in all. Where all agree, every mean weighs as many targets
    an example (or says the same), so that a mean over targets is one over examples. Of a function that returns values
    by example, or a total with its count, only the first batch is compared, and only for the loss: there the network
    alone could mix examples.

    Args:
        batches: of one data set.
        parts: see `Objective.parts`.
        averages: whether loss and accuracy return means, see `Objective.averages`.

    Raises:
        ValueError: a mean is none over examples.
    """
    wanted = [(i, called) for i, called in enumerate(("loss", "accuracy")) if averages[i]]
    before, known = None, None
    for piece in _pieces(batches if wanted else batches[:1]):
        found = _values(parts, piece)
        if before and known and found and (together := _values(parts, before, piece)):
            for i, called in wanted or [(0, "loss")]:
                _compare(called, before.n + piece.n, together[i], (known[i], found[i]))
        before, known = piece, found


def _pieces(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Yield batches in two pieces each, as far as they have two examples."""
    for batch in batches:
        # a third: halves are more often alike, such as those of sequences in pairs
        cut = max(batch.n // 3, 1)
        yield from (batch.part(0, cut), batch.part(cut, batch.n)) if batch.n > 1 else (batch,)


def _values(parts: Parts, piece: Batch, *others: Batch) -> Sequence[Any] | None:
    """Return totals and counts of a piece and others together, None where they are no batch."""
    # inputs with something else than an entry per example cannot always be divided or joined
    with suppress(RuntimeError, IndexError, TypeError, KeyError, ValueError):
        return parts(reduce(Batch.joined, others, piece))
    return None


def _compare(called: str, n: int, whole: Any, pieces: Sequence[Any]) -> None:
    """Refuse a value of `n` examples that is not the mean of those of its pieces."""
    together = mean(sum(float(total) for total, _ in pieces), sum(float(count) for _, count in pieces))
    alone = mean(*whole)
    # a piece without targets has no mean while the whole has one
    if math.isfinite(alone) and not abs(together - alone) <= 1e-3 * abs(alone) + 1e-5:
        raise ValueError(
            f"the {called} of {n} examples is {alone:.6g}, that of the same in two batches {together:.6g}: it is "
            "no mean over examples. A sum wants division by the number of examples; a mean over unequal numbers "
            f"of targets (padding) wants {called}= to return the pair (sum, count); batch normalization without "
            "running statistics wants them"
        )
