"""Many places spread over the workers of any `concurrent.futures.Executor`, in chunks; results come to one place."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from itertools import chain
from pathlib import Path
from typing import Any, Generic

from lossatlas.engine.executors import TaskLostError, WorkersLostError, lost, width
from lossatlas.engine.parcels import Done, Make, Parcel, Value, address, packed, work
from lossatlas.files import write_bytes

# a task is as long as this if it can be: far longer than its way to a worker, short enough to be lost
CHUNK_SECONDS = 1.0
# tasks per worker under way: one that is computed and one that waits
AHEAD = 2
# seconds in which a worker that has nothing else to do has begun a task and said so
NOTICE = 0.2


def spread(
    make: Make[Value],
    groups: Sequence[Sequence[int]],
    executor: Executor | None,
    *,
    folder: Path | str | None = None,
) -> Iterator[tuple[int, Value]]:
    """Compute values at places on the workers of an executor, and yield them as they come.

    Every worker gets the maker once. Tasks begin small and grow to about a second. Results do not depend on workers or
    chunks if the value at a place depends on nothing but the place.

    Args:
        make: returns what computes the value at a place; called once per worker. It travels pickled.
        groups: the places, in groups that stay together and in order.
        executor: where tasks run; None: here, in order, with this process's threads.
        folder: where the maker's file lies meanwhile; workers on the same file system read it there. A temporary folder
            if absent.

    Yields:
        Place and value, in the order in which tasks finish.

    Raises:
        WorkersLostError: all workers, or what gives them their tasks, are gone.
        ValueError: the maker cannot be sent.
    """
    if not groups:
        return
    if executor is None:
        at = make()
        yield from ((i, at(i)) for i in chain(*groups))
        return
    contents = packed(make)
    with tempfile.TemporaryDirectory(prefix="lossatlas-") as elsewhere:
        parcel = address(contents, Path(folder or elsewhere))
        write_bytes(Path(parcel.path), contents)
        try:
            yield from _Spreading[Value](parcel, contents, groups, executor).results()
        finally:
            Path(parcel.path).unlink(missing_ok=True)


class _Spreading(Generic[Value]):
    """The tasks that are under way."""

    def __init__(self, parcel: Parcel, contents: bytes, groups: Sequence[Sequence[int]], executor: Executor) -> None:
        self._parcel, self._contents, self._executor = parcel, contents, executor
        # a task that itself runs on one of the workers computes too: it cannot count on others
        self._helps = bool(getattr(executor, "helps", False))
        self._todo = deque(groups)
        self._running: dict[Future[Done], list[Sequence[int]]] = {}
        self._carried: Any = None  # with tasks for workers that do not see the file
        self._handed = 0.0  # when the latest task was handed out
        self._seconds = 0.0  # of the fastest known way through a group
        self._finished: set[int] = set()

    def results(self) -> Iterator[tuple[int, Value]]:
        try:
            while self._todo or self._running:
                while self._todo and len(self._running) < self._share():
                    self._submit(self._next(AHEAD * width(self._executor)))
                yield from self._helped() if self._helps else ()
                done, _ = wait(self._running, timeout=0 if self._helps else None, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._received(future)
        finally:
            for future in self._running:
                future.cancel()

    def _share(self) -> int:
        """Return how many tasks may be under way: one per worker until one answers, as each may want the contents."""
        others = max(1, width(self._executor) - self._helps)
        return AHEAD * others if self._seconds else others

    def _next(self, share: int) -> list[Sequence[int]]:
        """Take groups for about a second, and no more than leaves something for everybody towards the end."""
        count = int(CHUNK_SECONDS / self._seconds) if self._seconds else 1
        count = max(1, min(count, len(self._todo) // share))
        return [self._todo.popleft() for _ in range(min(count, len(self._todo)))]

    def _submit(self, chunk: list[Sequence[int]], *, wanted: bool = False) -> None:
        try:
            if wanted and self._carried is None:
                share = getattr(self._executor, "share", None)
                self._carried = share(self._contents) if share else self._contents
            contents = self._carried if wanted else None
            future = self._executor.submit(work, self._parcel, list(chain(*chunk)), contents)
        except Exception as error:
            _tell(error)
            raise
        self._running[future] = chunk
        self._handed = time.monotonic()

    def _received(self, future: Future[Done]) -> Iterator[tuple[int, Value]]:
        chunk = self._running.pop(future)
        try:
            done = future.result()
        except (Exception, CancelledError) as error:
            _tell(error)
            raise
        if done.values is None:
            self._submit(chunk, wanted=True)
        else:
            yield from self._fresh(chunk, done)

    def _fresh(self, chunk: list[Sequence[int]], done: Done) -> Iterator[tuple[int, Value]]:
        self._seconds = min(self._seconds or done.seconds, done.seconds / len(chunk))
        for place, value in zip(chain(*chunk), done.values or (), strict=True):
            if place not in self._finished:
                self._finished.add(place)
                yield place, value

    def _helped(self) -> Iterator[tuple[int, Value]]:
        """Compute some here: what is not under way, else what no worker has begun, the latest first."""
        if self._todo:
            chunk = self._next(AHEAD * width(self._executor))
        else:
            early = self._handed + NOTICE - time.monotonic()
            if wait(self._running, timeout=max(0.0, early), return_when=FIRST_COMPLETED).done:
                return
            begun = _begun(self._executor, self._running)
            future = next((one for one in reversed(self._running) if one not in begun), None)
            if future is None:  # all are being computed: there is nothing to do but wait
                wait(self._running, timeout=NOTICE, return_when=FIRST_COMPLETED)
                return
            chunk = self._running.pop(future)
            future.cancel()
        yield from self._fresh(chunk, work(self._parcel, list(chain(*chunk)), self._contents))


def _begun(executor: Executor, running: Collection[Future[Done]]) -> Collection[Future[Done]]:
    """Return those that a worker is in the middle of, or has finished."""
    ask = getattr(executor, "begun", None)
    if ask is None:
        return [future for future in running if future.running() or future.done()]
    found: Collection[Future[Done]] = ask(running)
    return found


def _tell(error: BaseException) -> None:
    """Say that the workers are gone, if that is the error."""
    if reason := lost(error):
        kind = TaskLostError if isinstance(error, TaskLostError) else WorkersLostError
        raise kind(f"{reason}; what was finished is kept, the same command goes on from there") from error
