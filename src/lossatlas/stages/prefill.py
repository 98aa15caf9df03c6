"""Complete all stages of a preset in scratch, in parallel and in warm workers, ahead of DVC's serial publication."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field

from lossatlas.closure import SourceChangedError, package_hash
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.plan import make_task, stage_keys
from lossatlas.stages.runner import Outcome, Runner
from lossatlas.stages.task import Key


@dataclass
class Summary:
    """What became of the stages."""

    outcomes: list[Outcome] = field(default_factory=list)
    failures: dict[Key, str] = field(default_factory=dict)
    blocked: list[Key] = field(default_factory=list)


def complete_stage(workspace: Workspace, params: Params, key: Key, package: str) -> Outcome:
    """Complete one stage in scratch; what the workers run, each with the sources that the parent started with."""
    if package_hash() != package:
        raise SourceChangedError("the package's source changed since this began; run the same command again")
    return Runner(workspace, params).prefill(key)


def prefill(
    workspace: Workspace, params: Params, executor: Executor, *, tell: Callable[[Outcome | str], None]
) -> Summary:
    """Complete every stage as soon as its inputs are; a failure stops only what depends on it.

    Args:
        workspace: the checkout.
        params: its settings.
        executor: where the stages run.
        tell: called with each outcome, and with a line of text for each failure.
    """
    waiting = {key: {i.key for i in make_task(workspace, params, key).inputs.values()} for key in stage_keys(params)}
    summary = Summary()
    running: dict[Future[Outcome], Key] = {}
    finished: set[Key] = set()
    while waiting or running:
        for key in [key for key, needs in waiting.items() if needs <= finished]:
            del waiting[key]
            running[executor.submit(complete_stage, workspace, params, key, package_hash())] = key
        if not running:
            summary.blocked = list(waiting)
            break
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            key = running.pop(future)
            error = future.exception()
            if error is None:
                finished.add(key)
                summary.outcomes.append(future.result())
                tell(future.result())
            else:
                summary.failures[key] = f"{type(error).__name__}: {error}"
                tell(f"{key[0]} {key[1]} failed: {summary.failures[key]}")
    return summary
