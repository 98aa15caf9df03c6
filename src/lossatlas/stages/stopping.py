"""Ctrl-C and SIGTERM end a command with one line; what its stages have forced to the disk stays and is gone on from."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 1.0  # seconds in which further signals are taken for copies of the first
GRACE = 15.0  # seconds for a worker process to put things away


class StoppedError(SystemExit):
    """A signal ended this process; no failure, so nothing that handles exceptions takes it for one."""

    def __init__(self, number: int) -> None:
        """Take the signal's number; the exit code is the shell's for it."""
        super().__init__(128 + number)
        self.args = (number,)  # what it is made from again in another process
        self.signal = signal.Signals(number).name


def raise_on_signals() -> None:
    """Make SIGINT and SIGTERM raise `StoppedError` in the main thread, except those that are ignored.

    A later signal ends the process at once, without waiting for what is being put away.
    """
    first: list[float] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if not first:
            first.append(time.monotonic())
            raise StoppedError(number)
        if time.monotonic() - first[0] > PATIENCE:
            os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextmanager
def obeying_parent() -> Iterator[None]:
    """Run a task; in a worker process SIGTERM, or the parent's end, stops it, and no other is begun after it.

    The worker itself stays until its pool ends it, so that it ends in order.
    """
    if multiprocessing.parent_process() is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _worker.follow()
    _worker.inside = True
    try:  # while it is open a signal may raise at any place, so `inside` is only touched while it is not
        try:
            _worker.open = True
            if _worker.told:
                raise StoppedError(signal.SIGTERM)
            yield
        finally:
            _worker.open = False
    finally:
        _worker.inside = False


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Start worker processes in which signals wait for the first task, which obeys them.

    One that SIGTERM ended while it starts would break the pool, and the others would wait to be killed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """What a worker process knows of its parent's wishes."""

    told = False  # to end
    inside = False  # a task
    open = False  # to being stopped, which is once per task
    following = False

    def follow(self) -> None:
        if not self.following:
            self.following = True
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
            signal.signal(signal.SIGTERM, self.stop)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            threading.Thread(target=self.watch, name="watch the parent", daemon=True).start()

    def stop(self, number: int, _frame: FrameType | None) -> None:
        self.told = True
        if self.open:
            self.open = False
            raise StoppedError(number)

    def watch(self) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        end = time.monotonic() + GRACE
        while (self.inside or not self.told) and time.monotonic() < end:
            time.sleep(0.05)
        os._exit(128 + signal.SIGTERM)


_worker = _Worker()


def end_workers() -> None:
    """Tell all worker processes of this process to stop what they do; kill them if it takes more than `GRACE`."""
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()

    def kill() -> None:
        for worker in workers:
            worker.kill()

    late = threading.Timer(GRACE, kill)
    late.daemon = True
    late.start()
