"""Which executor a command uses: that of `params.yaml`, or what its command line says in Hydra's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from lossatlas.config import ConfigError
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.settings.executors import ExecutorSettings


def with_executor(workspace: Workspace, params: Params, overrides: Sequence[str]) -> Params:
    """Return the settings with another executor; `params.yaml` stays as it is, and so do the stages' hashes.

    Args:
        workspace: the checkout, whose `conf/executor` has the groups.
        params: its settings.
        overrides: such as `executor=dask` or `executor.workers=2`.

    Raises:
        ConfigError: an override of something else, or of an impossible value; one line.
    """
    if not overrides:
        return params
    source = " ".join(overrides)
    values = params.executor.model_dump(exclude_none=True)
    for path, value in (_parsed(text) for text in overrides):
        if not path:
            values = _group(workspace, str(value))
            continue
        section = values
        for part in path[:-1]:
            inner = section.get(part)
            section[part] = section = dict(inner) if isinstance(inner, dict) else {}
        section[path[-1]] = value
    try:
        return params.model_copy(update={"executor": ExecutorSettings.model_validate(values)})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["executor", *(str(part) for part in first["loc"])])
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {key}: {message}") from None


def _parsed(text: str) -> tuple[list[str], Any]:
    """Return the key below `executor` and the value of an override."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"{text}: {' '.join(str(error).split())}") from None
    root, *path = override.key_or_group.split(".")
    if root != "executor" or override.is_delete() or override.is_sweep_override():
        raise ConfigError(
            f"{text}: only the executor is chosen here, as in executor=dask executor.workers=2; "
            "for other settings run `lossatlas compose`"
        )
    return path, override.value()


def _group(workspace: Workspace, name: str) -> dict[str, Any]:
    import yaml

    folder = workspace.conf / "executor"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"executor={name} is unknown; allowed: {', '.join(known)}")
    values: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text())
    return values
