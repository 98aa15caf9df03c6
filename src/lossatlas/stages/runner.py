"""Run a stage in its scratch folder and publish what it made.

The folder is named by the stage's hash, so finished work is found again and unfinished work goes on; a file lock keeps
it to one process at a time and is freed by the system when that process dies.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lossatlas.closure import package_hash, require_unchanged
from lossatlas.files import publish, read_json, sha256_file, sha256_json, sha256_path, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.job import Job, ignore_epoch
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

    def __init__(self, workspace: Workspace, params: Params) -> None:
        """Take the checkout and its settings."""
        package_hash()  # all sources, before any is imported lazily
        self.workspace, self.params = workspace, params
        self._locate_published = published(workspace, params.preset)
        self._intact: set[Path] = set()

    def publish(self, key: Key) -> Outcome:
        """Make a stage's published outputs from published inputs, computing them if scratch does not have them.

        What is published already, whole and of the same stage hash, is left as it is.
        """
        task = make_task(self.workspace, self.params, key)
        self._require_inputs(task)
        described = task.describe(self._locate_published)
        folder = self._folder(key, described)
        with _owned(folder):
            if self._is_published(task, described["stage_hash"]):
                return Outcome(key, described["stage_hash"], False, 0.0)
            outcome = self._complete(task, described, self._locate_published)
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
        for stale in (item for item in folder.glob("*") if item.name not in {*names, "names.json"}):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        write_json(folder / "names.json", names)
        return outcomes

    def prefill(self, key: Key) -> Outcome:
        """Complete a stage in scratch, from inputs that are complete in scratch; nothing is published."""
        task = make_task(self.workspace, self.params, key)
        described = task.describe(self.locate_scratch)
        with _owned(self._folder(key, described)):
            return self._complete(task, described, self.locate_scratch)

    def locate_scratch(self, key: Key) -> Path:
        """Return where a stage's finished output lies in scratch, in the place of its published one."""
        task = make_task(self.workspace, self.params, key)
        out = self._folder(key, task.describe(self.locate_scratch)) / "out"
        return out / MAIN_OUTPUT.get(key[0], ".")

    def _is_published(self, task: Task, stage_hash: str) -> bool:
        """Return whether a study's published folder holds this very result, undamaged."""
        kind, name = task.key
        folder, side = task.outputs.get("."), self.workspace.side(self.params.preset, kind, name)
        if kind not in STUDIES or folder is None or not side.is_file():
            return False
        with suppress(OSError, ValueError, KeyError, TypeError):  # absent or damaged: published anew
            return bool(read_json(folder / "stage.json")["stage_hash"] == stage_hash and _is_intact(folder))
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
            if folder not in self._intact and kind not in MAIN_OUTPUT and not _is_intact(folder):
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
        computed = not _is_finished(folder)
        if computed:
            self._compute(task, described, locate, folder)
        return Outcome(task.key, described["stage_hash"], computed, time.perf_counter() - begin)

    def _compute(self, task: Task, described: Mapping[str, Any], locate: Locate, folder: Path) -> None:
        begin = time.perf_counter()
        out, work = folder / "out", folder / "work"
        for place in (out, work):
            place.mkdir(parents=True, exist_ok=True)
            for leftover in place.rglob(".*.part"):  # half written when a process was killed
                leftover.unlink()
        facts: dict[str, Any] = {}
        live = live_curves(self.workspace, self.params, task.key, described)
        job = Job(
            name=task.key[1],
            settings=task.settings,
            inputs={role: locate(item.key) for role, item in task.inputs.items()},
            places=task.places,
            out=out,
            work=work,
            on_epoch=live.on_epoch if live else ignore_epoch,
            facts=facts,
        )
        status = "failed"
        try:
            import_module(f"lossatlas.stages.{task.key[0]}").compute(job)
            status = "finished"
        except (KeyboardInterrupt, SystemExit):
            status = "killed"
            raise
        finally:
            if live:
                live.close(_trained_status(out) if status == "finished" else status)
        require_unchanged(task.code)
        write_json(out / "stage.json", {**described, "content": _content_hash(out)})
        facts |= {"seconds": time.perf_counter() - begin, **_host(self.workspace)}
        write_json(folder / "side.json", facts)
        write_json(folder / "done.json", {"out": sha256_path(out)})
        shutil.rmtree(work)


def _content_hash(folder: Path) -> str:
    """Return the hash of everything in an output folder but the account of the stage."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "stage.json")
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


def _is_intact(folder: Path) -> bool:
    """Return whether a published folder is what its stage wrote: all files, and the account of the stage itself."""
    with suppress(ValueError, KeyError, TypeError, FileNotFoundError):
        stage = read_json(folder / "stage.json")
        content, stage_hash = stage.pop("content"), stage.pop("stage_hash")
        return bool(stage_hash == sha256_json(stage) and content == _content_hash(folder))
    return False


def _trained_status(out: Path) -> str:
    """Return how a training ended, from its history."""
    from lossatlas.results import History

    return History.load(out / "history.h5").status if (out / "history.h5").is_file() else "finished"


def _is_finished(folder: Path) -> bool:
    """Return whether a scratch folder holds a finished, undamaged output; a damaged one is removed."""
    done, out = folder / "done.json", folder / "out"
    if not done.is_file():
        return False
    with suppress(ValueError, KeyError, TypeError):  # a damaged mark is no mark
        if out.is_dir() and (folder / "side.json").is_file() and sha256_path(out) == read_json(done)["out"]:
            return True
    print(f"{folder} was altered after it was finished; it is computed again", file=sys.stderr)
    done.unlink()
    for place in (out, folder / "work"):  # work: killed before it was removed
        shutil.rmtree(place, ignore_errors=True)
    return False


class _owned:  # noqa: N801 (a context manager, used like a function)
    """Own a scratch folder; wait, and say so, while another process does."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder.with_name(folder.name + ".lock"))

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that owns {self._lock.lock_file}", file=sys.stderr)
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _host(workspace: Workspace) -> dict[str, Any]:
    """Return facts about where a stage was computed."""
    from datetime import UTC, datetime

    return {
        "host": platform.node(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "git_commit": git_commit(workspace),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
