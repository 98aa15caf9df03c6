"""Where independent tasks run: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from typing import Any

# one task at a time in a process: torch's threads, its generator and its modes are the process's, not the task's
_turn = threading.RLock()

# how many tasks are under way at once where an executor does not say how many workers it has
UNKNOWN_WIDTH = 64


class WorkersLostError(ConnectionError):
    """The workers of an executor are gone, and what they were computing with them."""


class TaskLostError(WorkersLostError):
    """A task was given up because its workers died; others may still be computed."""


class InlineExecutor(Executor):
    """Runs each task at once, in this process."""

    workers = 1

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


@contextmanager
def single_threaded() -> Iterator[None]:
    """Compute with one thread in a process that may be somebody else's, and give it its threads back."""
    import torch

    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


@contextmanager
def taking_turns() -> Iterator[None]:
    """Run a task in a process that may run others in threads: one after the other, each with one thread of torch."""
    with _turn, single_threaded():
        yield


def _start_worker(started: Synchronized[int]) -> None:
    """Set up a worker process; its progress bars get a line of their own and are wiped when they are done."""
    threading.Thread(target=_end_with_parent, name="end with the parent", daemon=True).start()
    with started.get_lock():
        os.environ |= {"TQDM_POSITION": str(started.value), "TQDM_LEAVE": ""}
        started.value += 1
    one_thread()


def _end_with_parent() -> None:
    """Wait for the parent's end, then end this process: one that waits for a task would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        # who started this process may have put signals off for it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)


def cores() -> int:
    """Return how many cores this process may use; systems without affinity (macOS) count them all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return worker processes of this machine that stay warm: torch is imported once in each.

    Args:
        workers: number of processes; one per core if absent.

    Raises:
        ValueError: no workers.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers} is impossible; allowed: 1 or more, or None for one per core")
    count = cores() if workers is None else workers
    context = get_context("spawn")
    started: Synchronized[int] = context.Value("i", 0)
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(started,))


def width(executor: Executor) -> int:
    """Return how many tasks an executor runs at once: what it says under the names in use, or a guess."""
    for name in ("workers", "num_workers", "_max_workers"):
        found = getattr(executor, name, None)
        if isinstance(found, int) and found > 0:
            return found
    return UNKNOWN_WIDTH


def lost(error: BaseException) -> str:
    """Return why the workers are gone, empty if the error is a task's own."""
    if isinstance(error, WorkersLostError):
        return str(error)
    if isinstance(error, BrokenExecutor):
        return "a worker process was killed (by the system, for want of memory?)"
    return (
        "the tasks were cancelled: the executor or its scheduler is gone" if isinstance(error, CancelledError) else ""
    )
