"""What a stage is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def ignore_epoch(row: Mapping[str, float]) -> None:
    """Receive an epoch's values and do nothing with them."""


@dataclass(frozen=True)
class Job:
    """The resolved settings, inputs and folders of one stage; every kind's module has `compute(job)`.

    Attributes:
        name: the stage's name within its kind, for example `resnet20`.
        settings: plain values (what the stage hash covers).
        inputs: output folders of the stages it depends on, by role.
        places: where data and caches lie on this machine (not covered by the stage hash).
        out: where the results go; published whole when `compute` returns.
        work: unfinished work that survives a kill; removed after publication.
        facts: timings and the like that a stage adds for the side file, outside what is hashed.
        on_epoch: called with each finished epoch's values (training only).
        executor: where points and the like may be computed; None: in this process.
    """

    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    places: Mapping[str, Any]
    out: Path
    work: Path
    on_epoch: Callable[[Mapping[str, float]], None] = ignore_epoch
    facts: dict[str, Any] = field(default_factory=dict)
    executor: Executor | None = None
