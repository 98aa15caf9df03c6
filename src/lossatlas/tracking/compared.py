"""Settings as MLflow compares them: what differs within a kind of stage as short params, what does not as tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lossatlas.tracking.names import TAG, flatten

# the first that fits is left out of a name
_PREFIXES = (
    "run.model.options.",
    "run.model.",
    "run.train.schedule_options.",
    "run.train.augment.",
    "run.train.",
    "run.",
    "train.schedule_options.",
    "train.augment.",
    "train.",
    "data.",
)
_UNSET = "null"


def short_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return flat settings that are set, by the shortest names that tell them apart."""
    flat = {name: value for name, value in flatten(settings).items() if value != _UNSET}
    short = {name: name.removeprefix(next(filter(name.startswith, _PREFIXES), "")) for name in flat}
    uses = Counter(short.values())
    return {short[name] if uses[short[name]] == 1 else name: value for name, value in flat.items()}


def common_settings(many: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the settings of several stages of a kind have in common, by short names; nothing for a single one."""
    found = [short_settings(settings) for settings in many]
    if len(found) < 2:
        return {}
    return {name: value for name, value in found[0].items() if all(other.get(name) == value for other in found[1:])}


def params_and_tags(settings: Mapping[str, Any], common: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return a stage's settings as params, except those of all its kind, which are tags."""
    found = short_settings(settings)
    tags = {f"{TAG}setting.{name}": value for name, value in found.items() if common.get(name) == value}
    return {name: value for name, value in found.items() if common.get(name) != value}, tags
