"""What DVC watches in the place of settings and sources: a small file for each of its stages.

Stages of DVC depend on these files and on the outputs of other stages. An edit, a new setting or a new version of a
library changes exactly the files of the stages that it concerns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from lossatlas.closure import SourceChangedError
from lossatlas.files import canonical_json, publish, read_json, sha256_path, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.completing import owned
from lossatlas.stages.plan import SHOWN, STUDIES, make_task, stage_keys
from lossatlas.stages.task import Key


def _settled(workspace: Workspace, params: Params, key: Key) -> dict[str, Any]:
    """Return what a stage depends on besides the content of its inputs."""
    task = make_task(workspace, params, key)
    return {**task.settled(), "inputs": {role: [*item.key, *item.files] for role, item in task.inputs.items()}}


def _file(kind: str, name: str) -> str:
    return f"{kind}.json" if kind in (*STUDIES, *SHOWN) else f"{kind}/{name}.json"


def planned(workspace: Workspace, params: Params) -> dict[str, dict[str, Any]]:
    """Return the contents by file: one for each data set, run and kind of study or page, with an entry per stage."""
    files: dict[str, dict[str, Any]] = {_file(kind, ""): {} for kind in (*STUDIES, *SHOWN)}
    for kind, name in stage_keys(params):
        files.setdefault(_file(kind, name), {})[name] = _settled(workspace, params, (kind, name))
    return files


def write_planned(workspace: Workspace, params: Params) -> Path:
    """Write these files, and nothing else, to the folder of the preset's plan, and return it.

    A folder that holds them already is left as it is; of several commands at once one writes after the other.
    """
    folder, scratch = workspace.plans(params.preset), workspace.scratch / "plans"
    scratch.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(scratch / f"{params.preset.replace('/', ' ')}.lock"),
        tempfile.TemporaryDirectory(dir=scratch) as fresh,
    ):
        for name, content in planned(workspace, params).items():
            write_json(Path(fresh, "stages", name), content)
        with owned(workspace.publication):
            if not (folder.is_dir() and sha256_path(folder) == sha256_path(Path(fresh, "stages"))):
                publish(Path(fresh, "stages"), folder)
    return folder


def require_planned(workspace: Workspace, params: Params, kind: str, name: str | None = None) -> None:
    """Refuse to compute with other settings or sources than those that DVC takes note of.

    Args:
        workspace: the checkout.
        params: its settings.
        kind: of the stages to compute.
        name: of the only one; None: all of the kind.

    Raises:
        SourceChangedError: they changed after the plan was written.
        FileNotFoundError: there is no plan.
    """
    folder = workspace.plans(params.preset)
    for each in [each for other, each in stage_keys(params) if other == kind and name in (None, each)]:
        written, present = read_json(folder / _file(kind, each)), _settled(workspace, params, (kind, each))
        if canonical_json(written.get(each)) != canonical_json(present):
            raise SourceChangedError(
                f"stage {kind} {each} is not as {folder} says: settings, sources or libraries changed after the plan "
                "was written; run the same command again"
            )
