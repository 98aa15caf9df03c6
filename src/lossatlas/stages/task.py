"""What a stage is, before it runs: settings, inputs, code and outputs, and the hash of all that counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from lossatlas.closure import PACKAGE, import_closure, source_hash
from lossatlas.files import sha256_file, sha256_json, sha256_path

Key = tuple[str, str]  # kind and name
Locate = Callable[[Key], Path]

LIBRARIES = ("torch", "numpy", "h5py", "safetensors")


@dataclass(frozen=True)
class Input:
    """Another stage's output, and the files in it that count, by name or pattern (all by default)."""

    key: Key
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One stage of one preset.

    Attributes:
        key: kind and name.
        settings: resolved settings that the results depend on.
        inputs: outputs of other stages by role.
        places: where data lie on this machine; the results do not depend on it.
        outputs: published files and folders by their place in the stage's output ("." is all of it).
        modules: the modules that compute the stage.
        libraries: the distributions whose versions count.
        resources: the package's data files that they read, relative to the package.
    """

    key: Key
    settings: Mapping[str, Any]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Path]
    modules: tuple[str, ...]
    places: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = LIBRARIES
    resources: tuple[str, ...] = ()

    @property
    def code(self) -> tuple[Path, ...]:
        """The source files that compute the stage, and the package's data files that it reads."""
        return import_closure(self.modules) + tuple(PACKAGE / name for name in self.resources)

    def settled(self) -> dict[str, Any]:
        """Return what the results depend on besides inputs: settings, library versions and the hash of each source."""
        return {
            "kind": self.key[0],
            "name": self.key[1],
            "settings": dict(self.settings),
            "versions": {name: version(name) for name in self.libraries},
            "code": {path.relative_to(PACKAGE).as_posix(): source_hash(path) for path in self.code},
        }

    def describe(self, locate: Locate) -> dict[str, Any]:
        """Return everything the results depend on, with hashes for contents; `stage_hash` is the hash of it all."""
        settled = self.settled()
        contents = {role: _content(locate(item.key), item.files) for role, item in self.inputs.items()}
        inputs = {role: sha256_json(content) for role, content in contents.items()}
        described = {**settled, "inputs": inputs, "code": sha256_json(settled["code"])}
        return {**described, "stage_hash": sha256_json(described)}


def _content(folder: Path, patterns: Sequence[str]) -> dict[str, str] | str:
    """Return the hashes of the files that count; a name must be there, of a pattern whatever matches."""
    found = [[folder / name] if "*" not in name else sorted(folder.glob(name)) for name in patterns]
    return {path.name: sha256_file(path) for path in chain(*found)} if patterns else sha256_path(folder)
