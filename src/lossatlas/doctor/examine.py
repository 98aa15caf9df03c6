"""All checks in their order."""

from __future__ import annotations

from collections.abc import Iterator

from lossatlas.config import ConfigError, load_params
from lossatlas.doctor import database, dvc, machine, places
from lossatlas.doctor.finding import Finding, ok, problem
from lossatlas.paths import Workspace
from lossatlas.settings import Params


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Yield what each check found; without usable settings, those that need none."""
    yield machine.python(workspace)
    yield from machine.libraries(workspace)
    yield machine.package(workspace)
    params, finding = _settings(workspace)
    yield finding
    yield machine.device(params.device if params else "cpu")
    here = params is not None and params.executor.kind == "processes"  # other workers have machines of their own
    yield machine.threads(params.executor.workers if params and here else None)
    if params:
        yield from places.data_roots(workspace, params)
    yield from places.folders(workspace)
    if params:
        yield database.tracking(workspace, params)
    yield from dvc.examine(workspace)


def _settings(workspace: Workspace) -> tuple[Params | None, Finding]:
    try:
        params = load_params(workspace)
    except ConfigError as error:
        return None, problem("settings", str(error), "compose them with `lossatlas compose preset=default`")
    return params, ok("settings", f"preset {params.preset}, {len(params.runs)} runs")
