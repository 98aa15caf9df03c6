"""Complete all stages of a preset in scratch, in parallel and in warm workers, ahead of DVC's serial publication."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from lossatlas.closure import SourceChangedError, package_hash
from lossatlas.engine.executors import TaskLostError, WorkersLostError, lost, taking_turns
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.plan import make_task, stage_keys
from lossatlas.stages.runner import Outcome, Runner
from lossatlas.stages.stopping import deferring_signals, end_workers, obeying_parent
from lossatlas.stages.task import Key


@dataclass
class Summary:
    """What became of the stages."""

    outcomes: list[Outcome] = field(default_factory=list)
    failures: dict[Key, str] = field(default_factory=dict)
    blocked: list[Key] = field(default_factory=list)


def complete_stage(workspace: Workspace, params: Params, key: Key, package: str) -> Outcome:
    """Complete one stage in scratch; what the workers run, each with the sources that the parent started with.

    One at a time in a process, with one thread: so the bytes are the same in whatever worker it is.
    """
    with obeying_parent(), taking_turns():
        if package_hash() != package:
            raise SourceChangedError(
                "the package's source changed since this began, or the workers have another; run the same command again"
            )
        if not workspace.params.is_file():
            raise FileNotFoundError(
                f"{platform.node()} does not see {workspace.root}; stages need a file system that all workers share"
            )
        return Runner(workspace, params, executor=_idle_workers(params)).prefill(key)


def _idle_workers(params: Params) -> Executor | None:
    """Return an executor on the other workers of this Dask cluster; None if this is no worker of one."""
    if "distributed.worker" not in sys.modules:
        return None
    from lossatlas.cluster.dask import on_worker

    return on_worker(params.executor.resources)


def _submit(executor: Executor, *task: Any) -> Future[Outcome]:
    """Hand a stage to the executor; a worker process that this starts leaves Ctrl-C to this one."""
    with deferring_signals() if isinstance(executor, ProcessPoolExecutor) else nullcontext():
        return executor.submit(complete_stage, *task)


def _error(future: Future[Outcome]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


def prefill(
    workspace: Workspace, params: Params, executor: Executor, *, tell: Callable[[Outcome | str], None]
) -> Summary:
    """Complete every stage as soon as its inputs are; a failure stops only what depends on it.

    When this process is stopped, so are worker processes; they put away what they have.

    Args:
        workspace: the checkout.
        params: its settings.
        executor: where the stages run.
        tell: called with each outcome, and with a line of text for each failure.
    """
    waiting = {key: {i.key for i in make_task(workspace, params, key).inputs.values()} for key in stage_keys(params)}
    summary = Summary()
    try:
        _complete(workspace, params, executor, waiting, summary, tell)
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        if isinstance(executor, ProcessPoolExecutor):
            end_workers()
        raise
    return summary


def _complete(
    workspace: Workspace,
    params: Params,
    executor: Executor,
    waiting: dict[Key, set[Key]],
    summary: Summary,
    tell: Callable[[Outcome | str], None],
) -> None:
    running: dict[Future[Outcome], Key] = {}
    finished: set[Key] = set()
    broken = False
    while waiting or running:
        for key in [key for key, needs in waiting.items() if needs <= finished and not broken]:
            try:
                running[_submit(executor, workspace, params, key, package_hash())] = key
            except (BrokenExecutor, WorkersLostError):
                if not running:
                    raise
                broken = True  # told by the stages that were running
                break
            del waiting[key]
        if not running:
            summary.blocked = list(waiting)
            break
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            key = running.pop(future)
            error = _error(future)
            if error is None:
                finished.add(key)
                summary.outcomes.append(future.result())
                tell(future.result())
                continue
            why = lost(error)
            broken = broken or bool(why and not isinstance(error, TaskLostError))
            reason = f"{why}; run the same command again" if why else f"{type(error).__name__}: {error}"
            summary.failures[key] = " ".join(reason.split())
            tell(f"{key[0]} {key[1]} failed: {summary.failures[key]}")
