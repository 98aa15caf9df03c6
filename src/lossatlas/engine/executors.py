"""Where independent tasks run: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Literal

ExecutorKind = Literal["process", "serial"]


class SerialExecutor(Executor):
    """Runs each task at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # the executor's contract: what a task raises is its future's
            future.set_exception(error)
        return future


def one_thread() -> None:
    """Make this process compute with one thread: results then do not depend on the number of workers."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def make_executor(kind: ExecutorKind, workers: int | None = None) -> Executor:
    """Return an executor.

    Args:
        kind: `process` starts worker processes that stay warm (torch is imported once in each); `serial` starts none.
        workers: number of processes; one per core if absent.
    """
    if kind == "serial":
        return SerialExecutor()
    count = workers or len(os.sched_getaffinity(0))
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=one_thread)
