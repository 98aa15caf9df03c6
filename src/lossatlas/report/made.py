"""Which stages a figure or table rests on: noted while it reads the results, with their hashes and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lossatlas.files import read_json
from lossatlas.report.artefacts import KINDS, Results

Value = TypeVar("Value")
Key = tuple[str, str]  # kind and name
# field of the results: the kind of stage that its entries come from
FIELDS = {
    "runs": "train",
    "planes": "plane",
    "moments": "plane",
    "lines": "line",
    "profiles": "profile",
    "hessians": "hessian",
    "trajectories": "trajectory",
    "probes": "probe",
    "invariances": "invariance",
    "slices": "slices",
    "curves": "curve",
    "planes3": "plane3",
    "fges": "fge",
    "ensembles": "ensemble",
}
AXIS = {"min", "max", "points"}


class Noted(Mapping[str, Value]):
    """A mapping that notes which of its entries were read; asking what there is notes nothing."""

    def __init__(self, inner: Mapping[str, Value], kind: str, seen: set[Key]) -> None:
        """Wrap `inner`, the results of one kind of stage."""
        self._inner, self._kind, self._seen = inner, kind, seen

    def __getitem__(self, name: str) -> Value:
        """Return an entry and note it."""
        value = self._inner[name]
        self._seen.add((self._kind, name))
        return value

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._inner)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._inner)

    def __contains__(self, name: object) -> bool:
        """Return whether there is such an entry."""
        return name in self._inner


class _All(Mapping[str, Any]):
    """A mapping that is the result of one stage."""

    def __init__(self, inner: Mapping[str, Any], key: Key, seen: set[Key]) -> None:
        self._inner, self._key, self._seen = inner, key, seen

    def __getitem__(self, name: str) -> Any:
        value = self._inner[name]
        self._seen.add(self._key)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)


def noting(results: Results) -> tuple[Results, set[Key]]:
    """Return results that note what is read of them, and the set where they note it."""
    seen: set[Key] = set()
    fields: dict[str, Any] = {name: Noted(getattr(results, name), kind, seen) for name, kind in FIELDS.items()}
    fields["sharpness"] = _All(results.sharpness, ("sharpness", "all"), seen)
    return replace(results, **fields), seen


def ordered(seen: set[Key]) -> list[Key]:
    """Return stages in the order of the pipeline, then by name."""
    kinds = (*KINDS, "sharpness")
    return sorted(seen, key=lambda key: (kinds.index(key[0]), key[1]))


@dataclass(frozen=True)
class Stage:
    """A stage that made results: its hash, the tag of its MLflow run, and its settings, each in a few words."""

    kind: str
    name: str
    stage_hash: str
    settings: tuple[str, ...]
    versions: Mapping[str, str]
    device: str


def read_stages(inputs: Mapping[str, Path]) -> dict[Key, Stage]:
    """Read the accounts of all stages among `inputs`."""
    found = {}
    for role, folder in inputs.items():
        kind, _, name = role.partition("/")
        if name and kind in KINDS and (folder / "stage.json").is_file():
            record = read_json(folder / "stage.json")
            settings = dict(record.get("settings") or {})
            device = str(settings.pop("device", ""))
            stage_hash, versions = str(record["stage_hash"]), record.get("versions") or {}
            found[kind, name] = Stage(kind, name, stage_hash, brief(settings), versions, device)
    return found


@dataclass(frozen=True)
class Made:
    """Stages of one kind that made a figure or table: the settings that all share, and per stage the others."""

    kind: str
    common: str
    rows: tuple[tuple[Stage, str], ...]


def grouped(stages: Sequence[Stage]) -> list[Made]:
    """Return stages by kind, what they have in common said once."""
    groups = []
    for kind in dict.fromkeys(stage.kind for stage in stages):
        alike = [stage for stage in stages if stage.kind == kind]
        common = [part for part in alike[0].settings if all(part in stage.settings for stage in alike)]
        rows = [(stage, ", ".join(part for part in stage.settings if part not in common)) for stage in alike]
        groups.append(Made(kind, ", ".join(common), tuple(rows)))
    return groups


def brief(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings in a few words each, by their last names; what is absent or off is left out."""
    return tuple(_parts(settings))


def _parts(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        if value is None or value is False or value == [] or value == {}:
            continue
        if isinstance(value, Mapping):
            if set(value) == AXIS:
                yield f"{key} from {value['min']:g} to {value['max']:g} in {value['points']} points"
            else:
                yield from _parts(value)
        elif value is True:
            yield key
        elif isinstance(value, list):
            yield f"{key} {'; '.join(_item(item) for item in value)}"
        else:
            yield f"{key} {_item(value)}"


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_parts(value))
    if isinstance(value, list):
        return " + ".join(_item(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
