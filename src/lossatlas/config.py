"""Composition by Hydra into `params.yaml`, and its validation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lossatlas.files import write_text
from lossatlas.paths import Workspace
from lossatlas.settings import Params


class ConfigError(ValueError):
    """Settings that cannot be used; the message is one line."""


def validate(values: Any, *, source: str) -> Params:
    """Return validated settings.

    Args:
        values: nested plain values.
        source: where they came from, for messages.

    Raises:
        ConfigError: an unknown key, an impossible value or a dangling reference; one line.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: holds no settings; run `lossatlas compose preset=default`")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        first = found[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "unknown key"
        elif not isinstance(first.get("input"), dict) and not key.endswith(".uri"):  # which may have a password
            message = f"{message} (found {first.get('input')!r})"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(f"{source}: {key + ': ' if key else ''}{message}{more}") from None


def load_params(workspace: Workspace) -> Params:
    """Read and validate `params.yaml`.

    Raises:
        ConfigError: the file is missing, no YAML, or its settings cannot be used.
    """
    if not workspace.params.is_file():
        raise ConfigError(f"{workspace.params} does not exist; run `lossatlas compose preset=default`")
    try:
        values = yaml.load(workspace.params.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"params.yaml is not YAML: {' '.join(str(error).split())}") from None
    return validate(values, source="params.yaml")


def compose(conf: Path, overrides: Sequence[str]) -> tuple[Params, str]:
    """Compose and validate the settings; nothing is written.

    Args:
        conf: the folder with Hydra's groups.
        overrides: Hydra overrides, for example `preset=smoke` or `runs.resnet20.train.epochs=3`.

    Returns:
        The settings and the YAML text for `params.yaml` (what DVC's own Hydra composition writes).

    Raises:
        ConfigError: Hydra refuses the overrides, or the settings cannot be used.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # an override may have a password in an address
    told = [re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", override) for override in overrides]
    source = " ".join(["composed from", *(told or ["the defaults"])])
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf.resolve())):
            config = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(config)
        values = OmegaConf.to_container(config, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        message = " ".join(str(error).split())
        for noise in (" Config search path:", " To append to your config"):
            message = message.partition(noise)[0]
        message = message.replace("Could not override", "no such key to override:")
        raise ConfigError(f"{source}: {message}") from None
    params = validate(values, source=source)
    return params, OmegaConf.to_yaml(config)


def write_params(workspace: Workspace, overrides: Sequence[str]) -> Params:
    """Compose the settings and write `params.yaml`, whole or not at all."""
    params, text = compose(workspace.conf, overrides)
    if not workspace.params.is_file() or workspace.params.read_text() != text:
        write_text(workspace.params, text)
    return params
