"""A folder of stages to be computed on another machine, and of what they need from here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lossatlas.files import publish, sha256_json, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.away import LAYOUT, STAGES, folder_of
from lossatlas.stages.plan import KINDS, SHOWN, make_task, stage_keys
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Key, Task


def pack(workspace: Workspace, params: Params, folder: Path, keys: Iterable[Key] = ()) -> list[Key]:
    """Fill a folder with what another machine needs to compute stages that are not complete in scratch.

    It gets `stages.json`, and the outputs of complete stages that are needed. Unfinished work in it, brought back from
    there, stays; complete stages that nothing needs any longer are removed from it.

    Args:
        workspace: the checkout.
        params: its settings.
        folder: made where it is missing.
        keys: kinds and names; none: every stage but those that show results.

    Returns:
        The stages to be computed, in an order in which they can be; data sets, which every machine reads itself, first.

    Raises:
        UnknownStageError: the settings have no such stage.
        ValueError: a stage that shows results, which is made at home.
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
        _place(runner, key, folder_of(folder, key), needed=key in needed)
    plain = [_plain(tasks[key]) for key in order]
    write_json(folder / STAGES, {"layout": LAYOUT, "preset": params.preset, "stages": plain})
    return order


def _place(runner: Runner, key: Key, folder: Path, *, needed: bool) -> None:
    """Put a complete stage there, or remove one that nothing needs."""
    if not needed:
        if (folder / "done.json").is_file():
            shutil.rmtree(folder)
    elif not (folder / "done.json").is_file():
        source = runner.scratch(key)
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
