"""Take in stages that were computed on another machine: each is verified, then lies in scratch as if computed here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lossatlas.files import canonical_json, publish, read_json, sha256_path
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.away import folder_of
from lossatlas.stages.completing import is_finished, is_intact, owned
from lossatlas.stages.plan import SHOWN, make_task, stage_keys
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Key

_SAME = ("settings", "code", "inputs")


def adopt(workspace: Workspace, params: Params, results: Path, *, tell: Callable[[str], None]) -> list[Key]:
    """Take in every complete stage of a folder that `lossatlas.stages.away` filled.

    A stage is taken only if its files are whole and it has the settings, the code and the inputs of the present
    preset. Versions of libraries may differ: what is published keeps those that computed it.

    Args:
        workspace: the checkout.
        params: its settings.
        results: the folder.
        tell: called with a line per stage.

    Returns:
        The stages that were taken in, or were there.

    Raises:
        FileNotFoundError: the folder has no stage of the preset.
        ValueError: stages are damaged, or of something else; they are named, all others were taken in.
    """
    runner = Runner(workspace, params)
    order = [key for key in stage_keys(params) if key[0] not in ("data", *SHOWN)]
    found = [key for key in order if (folder_of(results, key) / "done.json").is_file()]
    if not found:
        raise FileNotFoundError(f"{results} has no complete stage of preset {params.preset} (<kind>/<name>/done.json)")
    refused = []
    for key in found:
        try:
            tell(f"{' '.join(key)}: {_one(workspace, params, runner, key, folder_of(results, key))}")
        except ValueError as error:
            refused.append(str(error))
    if refused:
        raise ValueError("; ".join(refused))
    return found


def _one(workspace: Workspace, params: Params, runner: Runner, key: Key, source: Path) -> str:
    task = make_task(workspace, params, key)
    for item in task.inputs.values():
        if item.key[0] == "data":  # every machine reads the images itself
            runner.prefill(item.key)
        elif not runner.is_complete(item.key):
            raise ValueError(f"{source} was computed from {' '.join(item.key)}, which is not in scratch; carry it too")
    described, target = task.describe(runner.locate_scratch), runner.scratch(key)
    with owned(target):
        if is_finished(target):
            return "there already"
        stage = _verified(source)
        _require_same(stage, described, source)
        shutil.rmtree(target, ignore_errors=True)
        for part in ("out", "side.json", "done.json"):  # the mark comes last
            publish(source / part, target / part)
    host = read_json(source / "side.json")
    versions = ", ".join(f"{name} {version}" for name, version in stage["versions"].items())
    return f"adopted ({host.get('accelerator') or host['host']}; {versions})"


def _verified(source: Path) -> Mapping[str, Any]:
    """Return the account of a stage whose files are those that it wrote."""
    out = source / "out"
    try:
        whole = sha256_path(out) == read_json(source / "done.json")["out"] and is_intact(out)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(f"{source} is truncated or altered; carry it over again")
    stage: dict[str, Any] = read_json(out / "stage.json")
    return stage


def _require_same(stage: Mapping[str, Any], described: Mapping[str, Any], source: Path) -> None:
    for name in _SAME:
        theirs, ours = stage.get(name), described[name]
        if canonical_json(theirs) != canonical_json(ours):
            raise ValueError(f"{source} has other {name} than the present preset: {_difference(theirs, ours)}")


def _difference(theirs: Any, ours: Any) -> str:
    """Return the first difference of two plain values in words."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                return f"{name}: {_difference(theirs.get(name), ours.get(name))}"
    return f"{str(theirs)[:60]} there, {str(ours)[:60]} here"
