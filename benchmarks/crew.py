"""Worker processes that keep every core busy, each with one thread, as the project computes."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any


def _serve(pipe: Connection, make: Callable[..., Any], index: int, args: tuple) -> None:
    import torch

    torch.set_num_threads(1)
    station: Any = None
    while True:
        order = pipe.recv()
        if order is None:
            return
        name, given = order
        try:
            station = station if name else make(index, *args)
            pipe.send((None, getattr(station, name)(*given) if name else None))
        except Exception:
            pipe.send((traceback.format_exc(), None))


class Crew:
    """Processes that each hold an object, `make(index, *args)`, and call its methods at the same time."""

    def __init__(self, count: int, make: Callable[..., Any], *args: Any) -> None:
        """Start the processes and make their objects."""
        # read when a process loads its numerical libraries
        for library in ("OMP", "OPENBLAS", "MKL"):
            os.environ[f"{library}_NUM_THREADS"] = "1"
        context = get_context("spawn")
        self._pipes, self._processes = [], []
        for index in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make, index, args), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        self.run("")

    def __enter__(self) -> Crew:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()

    def __len__(self) -> int:
        """Return the number of processes."""
        return len(self._pipes)

    def run(self, name: str, *args: Any, only: int | None = None) -> tuple[list[Any], float]:
        """Call a method in all processes, or in the first `only`, and wait for all.

        Returns:
            What each gave, and the seconds until the last was done.
        """
        begin = time.perf_counter()
        replies = self.each(name, [args] * len(self._pipes[:only]))
        return replies, time.perf_counter() - begin

    def each(self, name: str, arguments: Sequence[tuple]) -> list[Any]:
        """Call a method in the first processes, in each with arguments of its own; return what each gave."""
        pipes = self._pipes[: len(arguments)]
        for pipe, given in zip(pipes, arguments, strict=True):
            pipe.send((name, given))
        replies = [pipe.recv() for pipe in pipes]
        for trouble, _ in replies:
            if trouble:
                raise RuntimeError(f"a worker failed:\n{trouble}")
        return [reply for _, reply in replies]
