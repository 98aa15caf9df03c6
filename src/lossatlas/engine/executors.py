"""Where independent tasks run: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from typing import Any, Literal, get_args

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


def _start_worker(started: Synchronized[int]) -> None:
    """Set up a worker process; its progress bars get a line of their own and are wiped when they are done."""
    with started.get_lock():
        os.environ |= {"TQDM_POSITION": str(started.value), "TQDM_LEAVE": ""}
        started.value += 1
    one_thread()


def _cores() -> int:
    """Return how many cores this process may use; systems without affinity (macOS) count them all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(kind: ExecutorKind, workers: int | None = None) -> Executor:
    """Return an executor.

    Args:
        kind: `process` starts worker processes that stay warm (torch is imported once in each); `serial` starts none.
        workers: number of processes; one per core if absent.

    Raises:
        ValueError: another kind, or no workers.
    """
    if kind == "serial":
        return SerialExecutor()
    if kind != "process":
        raise ValueError(f"executor kind = {kind!r} is unknown; allowed: {', '.join(get_args(ExecutorKind))}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers} is impossible; allowed: 1 or more, or None for one per core")
    count = _cores() if workers is None else workers
    context = get_context("spawn")
    started: Synchronized[int] = context.Value("i", 0)
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(started,))
