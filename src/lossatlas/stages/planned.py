"""What DVC watches in the place of settings and sources: a small file for each of its stages.

Stages of DVC depend on these files and on the outputs of other stages. An edit, a new setting or a new version of a
library changes exactly the files of the stages that it concerns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lossatlas.files import publish, write_json
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.plan import SHOWN, STUDIES, make_task, stage_keys


def planned(workspace: Workspace, params: Params) -> dict[str, Any]:
    """Return the contents of the files by their names: one for each data set, run and kind of study or page."""
    files: dict[str, Any] = {f"{kind}.json": {} for kind in (*STUDIES, *SHOWN)}
    for kind, name in stage_keys(params):
        settled = make_task(workspace, params, (kind, name)).settled()
        if f"{kind}.json" in files:
            files[f"{kind}.json"][name] = settled
        else:
            files[f"{kind}/{name}.json"] = settled
    return files


def write_planned(workspace: Workspace, params: Params) -> Path:
    """Write these files, and nothing else, to the folder of the preset's plan, and return it."""
    folder = workspace.plans(params.preset)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".plan.", suffix=".part") as fresh:
        for name, content in planned(workspace, params).items():
            write_json(Path(fresh, "plan", name), content)
        publish(Path(fresh, "plan"), folder)
    return folder
