"""A folder of stages to be computed on another machine, and of what they need from here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lossatlas.files import publish, read_json, sha256_json, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.away import LAYOUT, STAGES, folder_of
from lossatlas.stages.completing import is_whole
from lossatlas.stages.plan import KINDS, SHOWN, make_task, stage_keys
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Key, Task


def pack(workspace: Workspace, params: Params, folder: Path, keys: Iterable[Key] = ()) -> list[Key]:
    """Fill a folder with what another machine needs to compute stages that are not complete in scratch.

    It gets `stages.json`, and the outputs of complete stages that are needed. Unfinished work in it, brought back from
    there, stays, and so do results that were not adopted; those that were, and that nothing needs any longer, are
    removed from it.

    Args:
        workspace: the checkout.
        params: its settings.
        folder: made where it is missing.
        keys: kinds and names; none: every stage but those that show results.

    Returns:
        The stages to be computed, in an order in which they can be; data sets, which every machine reads itself, first.

    Raises:
        UnknownStageError: the settings have no such stage.
        ValueError: a stage that shows results, which is made at home; or the folder holds a result that is not the one
            here.
    """
    wanted = list(keys) or [key for key in stage_keys(params) if key[0] not in SHOWN]
    shown = [" ".join(key) for key in wanted if key[0] in SHOWN]
    if shown:
        kinds = ", ".join(kind for kind in KINDS if kind not in SHOWN)
        raise ValueError(f"{', '.join(shown)} cannot be computed elsewhere; kinds that can: {kinds}")
    runner = Runner(workspace, params)
    tasks: dict[Key, Task] = {}
    complete: set[Key] = set()
    while wanted:
        key = wanted.pop()
        if key in tasks or key in complete:
            continue
        if key[0] != "data" and runner.is_complete(key):
            complete.add(key)
            continue
        tasks[key] = make_task(workspace, params, key)
        wanted += [item.key for item in tasks[key].inputs.values()]
    order = [key for key in stage_keys(params) if key in tasks]
    needed = {item.key for task in tasks.values() for item in task.inputs.values()} & complete
    for key in stage_keys(params):
        if key[0] not in ("data", *SHOWN):
            there = folder_of(folder, key)
            whole = key in complete or (there.exists() and key not in tasks and runner.is_complete(key))
            _place(runner, key, there, complete=whole, needed=key in needed)
    plain = [_plain(tasks[key]) for key in order]
    write_json(folder / STAGES, {"layout": LAYOUT, "preset": params.preset, "stages": plain})
    return order


def _place(runner: Runner, key: Key, folder: Path, *, complete: bool, needed: bool) -> None:
    """Put a complete stage there if it is needed, and remove it if not.

    What is not complete here stays as it is there, results that were not adopted yet above all.
    """
    if not complete:
        return
    source = runner.scratch(key)
    there = read_json(folder / "done.json") if is_whole(folder) else None
    same = there == read_json(source / "done.json")
    if there is not None and not same:
        raise ValueError(
            f"{folder} holds a result that is not the one of stage {' '.join(key)} here; adopt it, or remove it"
        )
    if not needed:
        shutil.rmtree(folder, ignore_errors=True)
    elif not same:
        for part in ("out", "side.json", "done.json"):  # the mark comes last
            publish(source / part, folder / part)


def _plain(task: Task) -> dict[str, Any]:
    settled = task.settled()
    return {
        "key": list(task.key),
        "settings": settled["settings"],
        "code": sha256_json(settled["code"]),
        "inputs": {role: [*item.key, *item.files] for role, item in task.inputs.items()},
        "modules": list(task.modules),
        "libraries": list(task.libraries),
        "resources": list(task.resources),
        "data": task.places.get("data"),
    }
