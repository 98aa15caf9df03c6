"""Complete a stage in a folder of its own, and tell whether one is complete.

The folder has `out` with the results, `work` with what survives a kill, `seconds.json` with the time of attempts that
were stopped, facts about the run in `side.json` and, when all is done, `done.json` with the hash of the results.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lossatlas.closure import require_unchanged
from lossatlas.files import read_json, sha256_file, sha256_json, sha256_path, write_json
from lossatlas.stages.job import Job, ignore_epoch
from lossatlas.stages.task import Locate, Task

if TYPE_CHECKING:
    from lossatlas.tracking import LiveCurves


def compute(
    task: Task,
    described: Mapping[str, Any],
    locate: Locate,
    folder: Path,
    *,
    live: LiveCurves | None = None,
    host: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
) -> None:
    """Compute a stage in `folder`, which the caller owns, going on with what a kill left there.

    Args:
        task: the stage.
        described: what it depends on, with its hash.
        locate: where the outputs of other stages lie.
        folder: where it works.
        live: a channel for the values of each epoch.
        host: facts to be kept with those that are found here.
        executor: where the stage may spread its points; None: nowhere.
    """
    begin = time.perf_counter()
    out, work, clock = folder / "out", folder / "work", folder / "seconds.json"
    before = _spent(clock)
    for place in (out, work):
        place.mkdir(parents=True, exist_ok=True)
        for leftover in place.rglob(".*.part"):  # half written when a process was killed
            leftover.unlink()
    facts: dict[str, Any] = {}
    job = Job(
        name=task.key[1],
        settings=task.settings,
        inputs={role: locate(item.key) for role, item in task.inputs.items()},
        places=task.places,
        out=out,
        work=work,
        on_epoch=live.on_epoch if live else ignore_epoch,
        facts=facts,
        executor=executor,
    )
    status = "failed"
    try:
        import_module(f"lossatlas.stages.{task.key[0]}").compute(job)
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "killed"
        raise
    finally:
        if status != "finished":
            write_json(clock, before + time.perf_counter() - begin)
        if live:
            live.close(_trained_status(out) if status == "finished" else status)
    require_unchanged(task.code)
    write_json(out / "stage.json", {**described, "content": content_hash(out)})
    facts |= {"seconds": before + time.perf_counter() - begin, **_host(task), **(host or {})}
    write_json(folder / "side.json", facts)
    write_json(folder / "done.json", {"out": sha256_path(out)})
    clock.unlink(missing_ok=True)
    shutil.rmtree(work)


def _spent(clock: Path) -> float:
    """Return the seconds of attempts that were stopped; none where the file is not there or damaged."""
    with suppress(OSError, ValueError, TypeError):
        return float(read_json(clock))
    return 0.0


def _trained_status(out: Path) -> str:
    """Return how a training ended, from its history."""
    from lossatlas.results import History

    return History.load(out / "history.h5").status if (out / "history.h5").is_file() else "finished"


def _host(task: Task) -> dict[str, Any]:
    """Return facts about where a stage was computed."""
    from datetime import UTC, datetime

    return {
        "host": platform.node(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **_accelerator(str(task.settings.get("device", "cpu"))),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _accelerator(device: str) -> dict[str, str]:
    """Return the name of the device that computed, nothing for a CPU."""
    if device == "cpu":
        return {}
    import torch

    return {"accelerator": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device}


def content_hash(folder: Path) -> str:
    """Return the hash of everything in an output folder but the account of the stage."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "stage.json")
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


def is_intact(folder: Path) -> bool:
    """Return whether a published folder is what its stage wrote: all files, and the account of the stage itself."""
    with suppress(ValueError, KeyError, TypeError, FileNotFoundError):
        stage = read_json(folder / "stage.json")
        content, stage_hash = stage.pop("content"), stage.pop("stage_hash")
        return bool(stage_hash == sha256_json(stage) and content == content_hash(folder))
    return False


def is_whole(folder: Path) -> bool:
    """Return whether a scratch folder holds a finished, undamaged output; nothing is changed."""
    done, out = folder / "done.json", folder / "out"
    with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged mark is no mark
        return (folder / "side.json").is_file() and out.is_dir() and sha256_path(out) == read_json(done)["out"]
    return False


def is_finished(folder: Path) -> bool:
    """Return whether a scratch folder, which the caller owns, is whole; what was damaged is removed."""
    if is_whole(folder):
        return True
    if (folder / "done.json").is_file():
        print(f"{folder} was altered after it was finished; it is computed again", file=sys.stderr)
        for mark in ("done.json", "seconds.json"):
            (folder / mark).unlink(missing_ok=True)
        for place in (folder / "out", folder / "work"):  # work: killed before it was removed
            shutil.rmtree(place, ignore_errors=True)
    return False


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a scratch folder; wait, and say so, while another process does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that owns {lock.lock_file}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
