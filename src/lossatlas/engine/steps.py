"""Sums over batches that stay on the device, and batches that are replayed from a recording (CUDA graphs)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossatlas.engine.objective import right

Step = Callable[[Tensor, Tensor], None]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]


class Sums:
    """The sum of cross-entropies and the number of right predictions, on the device until they are asked for.

    Where an image's logits hold NaN nothing is predicted, and the number of right predictions is NaN; see `right`.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], device: torch.device) -> None:
        """Start at zero; `logits` returns a network's outputs in at least float32."""
        self._logits = logits
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._right = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, inputs: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        logits = self._logits(inputs)
        # summed in float64: a batch of large losses must not overflow before its mean does
        self._loss += functional.cross_entropy(logits, labels, reduction="none").sum(dtype=torch.float64)
        self._right += right(logits, labels).sum()

    def reset(self) -> None:
        """Go back to zero, in place."""
        self._loss.zero_()
        self._right.zero_()

    def fetch(self) -> tuple[float, float]:
        """Return both sums; the one time that the device is waited for."""
        loss, hits = torch.stack([self._loss, self._right]).tolist()
        return loss, hits


class Recorded:
    """A step on a batch that is recorded once per shape of batch and then replayed, with its inputs in fixed places.

    Attributes:
        recordings: how many shapes are recorded.
        problem: why steps are taken one operation at a time after all, empty while they are not.
    """

    def __init__(self, step: Step, record: Recorder) -> None:
        """Keep the step; `record` takes what to do and returns what does it again."""
        self._step, self._record = step, record
        self._places: dict[Any, tuple[Tensor, Tensor, Callable[[], None]]] = {}
        self.problem = ""

    @property
    def recordings(self) -> int:
        """How many shapes are recorded."""
        return len(self._places)

    def prepare(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Record every shape that batches have; the step is taken some times."""
        for inputs, labels in batches:
            if self.problem or _kind(inputs) in self._places:
                continue
            x, y = inputs.clone(), labels.clone()
            try:
                self._places[_kind(inputs)] = (x, y, self._record(lambda x=x, y=y: self._step(x, y)))  # type: ignore[misc]
            except RuntimeError as error:
                self.problem = str(error).strip().partition("\n")[0] or type(error).__name__
                self._places.clear()

    def __call__(self, inputs: Tensor, labels: Tensor) -> None:
        """Take the step on a batch."""
        if _kind(inputs) not in self._places:
            self._step(inputs, labels)
            return
        x, y, replay = self._places[_kind(inputs)]
        x.copy_(inputs)
        y.copy_(labels)
        replay()


def _kind(inputs: Tensor) -> tuple[Any, ...]:
    return tuple(inputs.shape), tuple(inputs.stride()), inputs.dtype


def cuda_graph(device: torch.device) -> Recorder:
    """Return what records work on a GPU as a CUDA graph, after some passes on a stream of their own."""

    def record(work: Callable[[], None]) -> Callable[[], None]:
        with torch.cuda.device(device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    work()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                work()

        def replay() -> None:
            graph.replay()

        return replay

    return record
