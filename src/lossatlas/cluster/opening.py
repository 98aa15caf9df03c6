"""From settings to an executor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from lossatlas.cluster.target import build
from lossatlas.engine.executors import InlineExecutor, process_pool
from lossatlas.settings.executors import ExecutorSettings


def open_executor(settings: ExecutorSettings) -> Executor:
    """Return the executor that the settings describe; use it in a `with` statement.

    Raises:
        ValueError: what it needs is not installed, or the class that is named is no executor.
        OSError: a cluster that does not answer.
    """
    if settings.kind == "inline":
        return InlineExecutor()
    if settings.kind == "processes":
        return process_pool(settings.workers)
    if settings.kind == "dask":
        from lossatlas.cluster.dask import open_dask

        return open_dask(
            address=settings.address,
            cluster=settings.cluster,
            workers=settings.workers,
            resources=settings.resources,
        )
    target = settings.target or {}
    made = build(target, key="executor.target")
    if not isinstance(made, Executor):
        raise ValueError(
            f"executor.target._target_ = {target['_target_']!r} makes a {type(made).__name__}, which is no "
            "concurrent.futures.Executor; Dask's clusters belong to executor.cluster of executor=dask"
        )
    return made


@contextmanager
def points_executor(settings: ExecutorSettings, *, chosen: bool) -> Iterator[Executor | None]:
    """Yield the executor for the points of one stage; None where they are computed in this process.

    Worker processes of this machine are for stages beside each other: for the points of one stage they are started only
    if they were `chosen` for it, as each takes seconds to start.
    """
    if settings.kind == "inline" or (settings.kind == "processes" and not chosen):
        yield None
        return
    with open_executor(settings) as executor:
        yield executor
