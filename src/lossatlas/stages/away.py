"""Compute stages on a machine that has PyTorch and little else: `python -m lossatlas.stages.away FOLDER`.

Neither settings, nor DVC, nor MLflow are needed there. `lossatlas pack` fills the folder: a list of stages, and results
that they need. Each stage works in `FOLDER/<kind>/<name>`; what a kill or the end of the time leaves there is gone on
from by the same command. At home `lossatlas adopt FOLDER` takes the results in.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossatlas.engine.executors import one_thread
from lossatlas.files import read_json, sha256_json, write_json
from lossatlas.stages.completing import compute, is_finished, owned
from lossatlas.stages.stopping import StoppedError, raise_on_signals
from lossatlas.stages.task import Input, Key, Task

LAYOUT = 1
STAGES = "stages.json"


def unpack(folder: Path) -> list[tuple[Task, str]]:
    """Return the tasks of a folder that `lossatlas pack` filled, each with the hash of the code to compute it with.

    Raises:
        FileNotFoundError: the folder has no list of stages.
        ValueError: the list is damaged or of another layout.
    """
    file = folder / STAGES
    content = read_json(file)
    if not isinstance(content, dict) or content.get("layout") != LAYOUT:
        raise ValueError(f"{file} is no list of stages (layout {LAYOUT}); write one with `lossatlas pack`")
    try:
        return [(_task(plain), plain["code"]) for plain in content["stages"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); write it again with `lossatlas pack`") from error


def _task(plain: Mapping[str, Any]) -> Task:
    kind, name = plain["key"]
    return Task(
        key=(kind, name),
        settings=plain["settings"],
        inputs={role: Input((item[0], item[1]), tuple(item[2:])) for role, item in plain["inputs"].items()},
        outputs={},
        modules=tuple(plain["modules"]),
        libraries=tuple(plain["libraries"]),
        resources=tuple(plain["resources"]),
        places={"data": plain["data"]} if plain["data"] else {},
    )


def complete(
    folder: Path,
    *,
    roots: Mapping[str, str] | None = None,
    device: str | None = None,
    tell: Callable[[str], None] = print,
) -> list[Key]:
    """Compute the stages of a folder one after the other; a failure stops only what depends on it.

    Args:
        folder: what `lossatlas pack` filled; each stage has its folder in it, `<kind>/<name>`.
        roots: where the files of data sets lie here, by the data set's name.
        device: a device to be used in the place of the settings' (for trials: such results are not adopted).
        tell: called with a line per stage.

    Returns:
        The stages that are not complete.

    Raises:
        FileNotFoundError: the folder has no list of stages.
        ValueError: the list is damaged, or the code here is not that of the list.
    """
    tasks = unpack(folder)
    changed = [task.key for task, code in tasks if sha256_json(task.settled()["code"]) != code]
    if changed:
        raise ValueError(
            f"the code here is not that with which {folder / STAGES} was written (stage {' '.join(changed[0])} and "
            f"{len(changed) - 1} more); take the same commit along, or pack again"
        )
    missing: list[Key] = []
    for task, _ in tasks:
        if any(item.key in missing for item in task.inputs.values()):
            missing.append(task.key)
            continue
        placed = _placed(task, folder, roots or {}, device)
        try:
            tell(f"{' '.join(task.key)}: {_one(placed, folder)}")
        except Exception as error:  # whatever one stage does, others go on
            missing.append(task.key)
            tell(f"{' '.join(task.key)} failed: {type(error).__name__}: {error}")
    return missing


def folder_of(folder: Path, key: Key) -> Path:
    """Return the folder of a stage."""
    return folder / key[0] / key[1]


def _placed(task: Task, folder: Path, roots: Mapping[str, str], device: str | None) -> Task:
    """Return a task with where its data lie here."""
    # decoded images stay beside the results, which are carried
    places: dict[str, Any] = {"repository": str(Path.cwd()), "cache": str(folder.with_name(f"{folder.name}-data"))}
    source = task.places.get("data")
    if source:
        name = task.key[1] if task.key[0] == "data" else task.inputs["data"].key[1]
        places["data"] = {**source, "root": roots.get(name, source["root"])}
    settings = {**task.settings, "device": device} if device and "device" in task.settings else task.settings
    return replace(task, places=places, settings=settings)


def _one(task: Task, folder: Path) -> str:
    """Complete a stage and return what happened in words."""

    def locate(key: Key) -> Path:
        return folder_of(folder, key) / "out"

    for item in task.inputs.values():
        if not locate(item.key).is_dir():
            raise FileNotFoundError(f"{locate(item.key)} is missing; pack again where stage {' '.join(item.key)} is")
    own = folder_of(folder, task.key)
    described = task.describe(locate)
    with owned(own):
        mark = own / "described.json"
        if mark.is_file() and read_json(mark) != described:
            raise ValueError(f"{own} holds work of other settings, inputs, code or libraries; remove it")
        if is_finished(own):
            return "finished before"
        write_json(mark, described)
        begin = time.perf_counter()
        compute(task, described, locate, own)
    return f"computed in {time.perf_counter() - begin:.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 when stages are missing, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m lossatlas.stages.away", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder that `lossatlas pack` filled")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER", help="where a data set lies here")
    parser.add_argument("--device", help="compute elsewhere than the settings say (a trial)")
    parser.add_argument("--budget", type=float, help="stop in order after this many seconds")
    given = parser.parse_args(arguments)
    one_thread()  # as every stage: results do not depend on the number of cores
    raise_on_signals()
    if given.budget:
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, given.budget)
    try:
        roots = dict(item.split("=", 1) for item in given.data)
        missing = complete(given.folder, roots=roots, device=given.device)
    except (ValueError, OSError) as error:
        print(f"away: {error}", file=sys.stderr)
        return 2
    except StoppedError as stopped:
        folders = [folder_of(given.folder, task.key) for task, _ in unpack(given.folder)]
        names = [" ".join(folder.parts[-2:]) for folder in folders if not (folder / "done.json").is_file()]
        print(
            f"away: stopped by {stopped.signal}; the same command goes on; missing: {', '.join(names)}", file=sys.stderr
        )
        return 1
    if missing:
        print(f"away: missing: {', '.join(' '.join(key) for key in missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
