"""From settings to tasks: what each stage of a preset reads, writes and depends on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lossatlas.closure import PACKAGE, import_closure, source_hash
from lossatlas.files import sha256_file, sha256_json, sha256_path
from lossatlas.models import FAMILIES
from lossatlas.paths import Workspace
from lossatlas.settings import Params

Key = tuple[str, str]  # kind and name
Locate = Callable[[Key], Path]

KINDS = ("data", "train", "line", "plane", "figures", "check", "report")
_LIBRARIES = ("torch", "numpy", "h5py", "safetensors")
_SHOWN = ("matplotlib", "jinja2", "numpy", "h5py")
_DATA_FILES = ("content.json",)
_RUN_FILES = ("run.json", "history.h5", "stage.json")


class UnknownStageError(ValueError):
    """A stage that the present settings do not have."""


@dataclass(frozen=True)
class Input:
    """Another stage's output, and the files in it that count (all by default)."""

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
    libraries: tuple[str, ...] = _LIBRARIES
    resources: tuple[str, ...] = ()

    @property
    def code(self) -> tuple[Path, ...]:
        """The source files that compute the stage, and the package's data files that it reads."""
        return import_closure(self.modules) + tuple(PACKAGE / name for name in self.resources)

    def describe(self, locate: Locate) -> dict[str, Any]:
        """Return everything the results depend on, with hashes for contents; `stage_hash` is the hash of it all."""
        inputs = {}
        for role, item in self.inputs.items():
            folder = locate(item.key)
            chosen = {name: sha256_file(folder / name) for name in item.files} or sha256_path(folder)
            inputs[role] = sha256_json(chosen)
        described = {
            "kind": self.key[0],
            "name": self.key[1],
            "settings": dict(self.settings),
            "inputs": inputs,
            "versions": {name: version(name) for name in self.libraries},
        }
        code = {path.relative_to(PACKAGE).as_posix(): source_hash(path) for path in self.code}
        return {**described, "code": sha256_json(code), "stage_hash": sha256_json([described, code])}


def stage_keys(params: Params) -> Iterator[Key]:
    """Yield every stage of a preset, each after those it depends on."""
    yield from (("data", name) for name in params.datasets)
    yield from (("train", name) for name in params.runs)
    yield from (("line", name) for name in params.lines)
    yield from (("plane", name) for name in params.planes)
    yield from ((kind, "all") for kind in ("figures", "check", "report"))


def make_task(workspace: Workspace, params: Params, key: Key) -> Task:
    """Return the task of one stage.

    Raises:
        UnknownStageError: the settings have no such stage.
    """
    kind, name = key
    makers = {"data": _data, "train": _train, "line": _line, "plane": _plane}
    groups: dict[str, Mapping[str, Any]] = {
        "data": params.datasets,
        "train": params.runs,
        "line": params.lines,
        "plane": params.planes,
    }
    known = list(groups[kind]) if kind in groups else ["all"] if kind in KINDS else []
    if name not in known:
        where = f"known: {', '.join(known) or 'none'}" if kind in KINDS else f"kinds: {', '.join(KINDS)}"
        raise UnknownStageError(f"preset {params.preset} has no stage {kind} {name} ({where})")
    return makers[kind](workspace, params, name) if kind in makers else _shown(workspace, params, kind)


def published(workspace: Workspace, preset: str) -> Locate:
    """Return the function that locates the published output of a stage."""

    def locate(key: Key) -> Path:
        kind, name = key
        places = {"figures": "figures", "check": "checks.json"}
        return workspace.reports(preset) / places[kind] if kind in places else workspace.artifacts(preset, kind, name)

    return locate


def _data(workspace: Workspace, params: Params, name: str) -> Task:
    source = params.datasets[name].model_dump()
    settings: dict[str, Any] = {"data": {key: value for key, value in source.items() if key != "root"}}
    if source["kind"] == "imagefolder":
        settings["files"] = _file_state(workspace.root / (source["root"] or ""))
    return Task(
        key=("data", name),
        settings=settings,
        inputs={},
        outputs={".": workspace.artifacts(params.preset, "data", name)},
        modules=("lossatlas.stages.data",),
        places=_places(workspace, data=source),
        libraries=("numpy", "torch", "scikit-learn"),
    )


def _file_state(root: Path) -> str:
    """Return a hash of the names, sizes and modification times of the files below `root`."""
    entries = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.stat(os.path.join(folder, name))
            entries[os.path.relpath(os.path.join(folder, name), root)] = [status.st_size, status.st_mtime_ns]
    return sha256_json(entries)


def _places(workspace: Workspace, **more: Any) -> dict[str, Any]:
    return {"repository": str(workspace.root), "cache": str(workspace.scratch / "data"), **more}


def _train(workspace: Workspace, params: Params, name: str) -> Task:
    run = params.runs[name]
    reports = workspace.reports(params.preset)
    return Task(
        key=("train", name),
        settings={"run": run.model_dump(), "device": params.device},
        inputs={"data": Input(("data", run.data), _DATA_FILES)},
        outputs={
            ".": workspace.artifacts(params.preset, "train", name),
            "metrics.json": reports / "metrics" / f"{name}.json",
            "curves.csv": reports / "curves" / f"{name}.csv",
        },
        modules=("lossatlas.stages.train", _model_module(params, name)),
        places=_places(workspace, data=params.datasets[run.data].model_dump()),
    )


def _model_module(params: Params, run: str) -> str:
    return f"lossatlas.models.{FAMILIES[params.runs[run].model.family].module}"


def _landscape(
    workspace: Workspace, params: Params, kind: str, name: str, settings: Any, ends: Mapping[str, str]
) -> Task:
    data = params.runs[settings.run].data
    runs = {role: Input(("train", run), ("run.json", "final.safetensors")) for role, run in ends.items()}
    return Task(
        key=(kind, name),
        settings={**settings.model_dump(), "device": params.device},
        inputs={"data": Input(("data", data), _DATA_FILES), **runs},
        outputs={".": workspace.artifacts(params.preset, kind, name)},
        modules=(f"lossatlas.stages.{kind}", _model_module(params, settings.run)),
        places=_places(workspace, data=params.datasets[data].model_dump()),
    )


def _line(workspace: Workspace, params: Params, name: str) -> Task:
    settings = params.lines[name]
    ends = {"run": settings.run} | ({} if settings.end is None else {"end": settings.end})
    return _landscape(workspace, params, "line", name, settings, ends)


def _plane(workspace: Workspace, params: Params, name: str) -> Task:
    settings = params.planes[name]
    return _landscape(workspace, params, "plane", name, settings, {"run": settings.run})


def _shown(workspace: Workspace, params: Params, kind: str) -> Task:
    """Return the task of a stage that shows or judges all results of a preset."""
    inputs = {f"data/{name}": Input(("data", name)) for name in params.datasets}
    inputs |= {f"train/{name}": Input(("train", name), _RUN_FILES) for name in params.runs}
    for group, names in (("line", params.lines), ("plane", params.planes)):
        files = (f"{group}.h5", f"{group}.json", "stage.json")
        inputs |= {f"{group}/{name}": Input((group, name), files) for name in names}
    reports = workspace.reports(params.preset)
    outputs = {
        "figures": {"figures": reports / "figures"},
        "check": {"checks.json": reports / "checks.json"},
        "report": {"report.html": reports / "report.html", "tables": reports / "tables"},
    }[kind]
    if kind == "report":
        inputs |= {"figures": Input(("figures", "all")), "checks": Input(("check", "all"))}
    settings: dict[str, Any] = {
        "preset": params.preset,
        "title": params.title,
        "regime": params.regime,
        "datasets": {name: data.kind for name, data in params.datasets.items()},
        "runs": {name: {"data": run.data, "title": run.model.title} for name, run in params.runs.items()},
        "planes": {name: {"run": plane.run} for name, plane in params.planes.items()},
        "lines": {name: {"run": line.run, "end": line.end} for name, line in params.lines.items()},
    }
    places: dict[str, Any] = {}
    if kind == "check" and (workspace.root / expected_file(params.preset)).is_file():
        expected = workspace.root / expected_file(params.preset)
        settings["expected_hash"] = sha256_file(expected)
        places["expected"] = str(expected)
    return Task(
        key=(kind, "all"),
        settings=settings,
        inputs=inputs,
        outputs=outputs,
        modules=(f"lossatlas.stages.{kind}",),
        places=places,
        libraries=_SHOWN,
        resources=("report/targets.yaml", *(["report/page.html.j2"] if kind == "report" else [])),
    )


def expected_file(preset: str) -> str:
    """Return where the committed values of a preset on embedded data lie, relative to the repository."""
    return f"reports/expected/{preset}.json"
