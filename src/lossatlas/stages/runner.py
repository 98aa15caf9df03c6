"""Run a stage in its scratch folder and publish what it made.

The folder is named by the stage's hash, so finished work is found again and unfinished work goes on; a file lock keeps
it to one process at a time and is freed by the system when that process dies. Another lock lets one command of a
checkout publish at a time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.closure import package_hash
from lossatlas.files import publish, read_json, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.completing import compute, is_finished, is_intact, is_whole, owned
from lossatlas.stages.plan import MAIN_OUTPUT, STUDIES, UnknownStageError, make_task, published
from lossatlas.stages.task import Key, Locate, Task
from lossatlas.stages.tracked import live_curves


@dataclass(frozen=True)
class Outcome:
    """What became of a stage."""

    key: Key
    stage_hash: str
    computed: bool
    seconds: float


class Runner:
    """Runs the stages of one preset."""

    def __init__(self, workspace: Workspace, params: Params, *, executor: Executor | None = None) -> None:
        """Take the checkout, its settings, and where stages may spread their points."""
        package_hash()  # all sources, before any is imported lazily
        self.workspace, self.params, self._executor = workspace, params, executor
        self._locate_published = published(workspace, params.preset)
        self._intact: set[Path] = set()
        self._scratch: dict[Key, Path] = {}

    def publish(self, key: Key) -> Outcome:
        """Make a stage's published outputs from published inputs, computing them if scratch does not have them.

        What is published already, whole and of the same stage hash, is left as it is.
        """
        task = make_task(self.workspace, self.params, key)
        self._require_inputs(task)
        described = task.describe(self._locate_published)
        folder = self._folder(key, described)
        with owned(folder):
            if self._is_published(task, described["stage_hash"]):
                return Outcome(key, described["stage_hash"], False, 0.0)
            outcome = self._complete(task, described, self._locate_published)
            # commands with other settings or another scratch folder have the same targets
            with owned(self.workspace.publication):
                for part, target in task.outputs.items():
                    publish(folder / "out" / part, target)
                publish(folder / "side.json", self.workspace.side(self.params.preset, *key))
        return outcome

    def publish_all(self, kind: str) -> list[Outcome]:
        """Publish every study of a kind, and remove those that the settings no longer have.

        Raises:
            UnknownStageError: the kind is no study.
        """
        if kind not in STUDIES:
            raise UnknownStageError(f"stage {kind} needs a name (without one: {', '.join(STUDIES)})")
        names = sorted(getattr(self.params, STUDIES[kind]))
        outcomes = [self.publish((kind, name)) for name in names]
        folder = self.workspace.artifacts(self.params.preset, kind, "names.json").parent
        with owned(self.workspace.publication):
            for stale in (item for item in folder.glob("*") if item.name not in {*names, "names.json"}):
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            write_json(folder / "names.json", names)
        return outcomes

    def prefill(self, key: Key) -> Outcome:
        """Complete a stage in scratch, from inputs that are complete in scratch; nothing is published."""
        task = make_task(self.workspace, self.params, key)
        described = task.describe(self.locate_scratch)
        with owned(self._folder(key, described)):
            return self._complete(task, described, self.locate_scratch)

    def scratch(self, key: Key) -> Path:
        """Return a stage's scratch folder; what it depends on must be complete, and is looked at once."""
        if key not in self._scratch:
            described = make_task(self.workspace, self.params, key).describe(self.locate_scratch)
            self._scratch[key] = self._folder(key, described)
        return self._scratch[key]

    def locate_scratch(self, key: Key) -> Path:
        """Return where a stage's finished output lies in scratch, in the place of its published one."""
        return self.scratch(key) / "out" / MAIN_OUTPUT.get(key[0], ".")

    def is_complete(self, key: Key) -> bool:
        """Return whether a stage, and all that it depends on, is complete in scratch."""
        with suppress(FileNotFoundError):  # something it depends on is not there
            return is_whole(self.scratch(key))
        return False

    def _is_published(self, task: Task, stage_hash: str) -> bool:
        """Return whether a study's published folder holds this very result, undamaged."""
        kind, name = task.key
        folder, side = task.outputs.get("."), self.workspace.side(self.params.preset, kind, name)
        if kind not in STUDIES or folder is None or not side.is_file():
            return False
        with suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: published anew
            return bool(read_json(folder / "stage.json")["stage_hash"] == stage_hash and is_intact(folder))
        return False

    def _require_inputs(self, task: Task) -> None:
        for item in task.inputs.values():
            kind, name = item.key
            folder = self._locate_published(item.key)
            remedy = f"run `dvc repro` or `lossatlas stage {kind} {name}`"
            if not folder.exists():
                raise FileNotFoundError(
                    f"stage {task.key[0]} {task.key[1]} needs the output of stage {kind} {name}, which is not there; "
                    f"{remedy}"
                )
            if folder not in self._intact and kind not in MAIN_OUTPUT and not is_intact(folder):
                raise ValueError(
                    f"{folder}, which stage {task.key[0]} {task.key[1]} needs, was altered after it was published; "
                    f"{remedy}"
                )
            self._intact.add(folder)

    def _folder(self, key: Key, described: Mapping[str, Any]) -> Path:
        return scratch_folder(self.workspace, key, described["stage_hash"])

    def _complete(self, task: Task, described: Mapping[str, Any], locate: Locate) -> Outcome:
        """Complete a stage in its scratch folder, which the caller owns."""
        folder = self._folder(task.key, described)
        begin = time.perf_counter()
        computed = not is_finished(folder)
        if computed:
            live = live_curves(self.workspace, self.params, task.key, described)
            host = {"git_commit": git_commit(self.workspace)}
            compute(task, described, locate, folder, live=live, host=host, executor=self._executor)
        return Outcome(task.key, described["stage_hash"], computed, time.perf_counter() - begin)
