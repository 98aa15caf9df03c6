"""From settings to tasks: what each stage of a preset reads, writes and depends on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lossatlas.files import sha256_file, sha256_json
from lossatlas.models import FAMILIES
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.study_inputs import owner, weights
from lossatlas.stages.task import LIBRARIES, Input, Key, Locate, Task

SHOWN = ("sharpness", "figures", "check", "report", "explorer")
# kind of study: its group in the settings
STUDIES = {
    "line": "lines",
    "plane": "planes",
    "profile": "profiles",
    "hessian": "hessians",
    "trajectory": "trajectories",
    "probe": "probes",
    "invariance": "invariances",
    "slices": "slices",
    "curve": "curves",
    "plane3": "planes3",
    "fge": "fges",
    "ensemble": "ensembles",
}
KINDS = ("data", "train", *STUDIES, *SHOWN)
# what other stages read of those that put their output among what is shown
MAIN_OUTPUT = {"sharpness": "sharpness.json", "figures": "figures", "check": "checks.json"}
_SHOWN = ("matplotlib", "jinja2", "numpy", "h5py", "scipy")
_TARGETS = "report/targets.yaml"
# kind of page: the package's data files that it reads
_RESOURCES = {
    "figures": (_TARGETS,),
    "check": (_TARGETS,),
    "report": (_TARGETS, "report/page.html.j2", "report/page.md.j2"),
    "explorer": ("report/explorer/explorer.html.j2", "report/explorer/explorer.js"),
}
# whose losses may be evaluated in another precision
_MAPPED = ("line", "plane", "profile", "trajectory")
_USES_SCIPY = ("slices",)
_DATA_FILES = ("content.json",)
_RUN_FILES = ("run.json", "history.h5", "weights.h5", "stage.json")
# kind of study: its result files, where not `<kind>.h5`
_RESULTS = {
    "profile": ("*.h5",),
    "invariance": ("*.h5",),
    "trajectory": ("trajectory.h5", "plane.h5"),
    "probe": (),
    "curve": ("*.h5",),
    "fge": ("*.h5",),
    "ensemble": (),
}


class UnknownStageError(ValueError):
    """A stage that the present settings do not have."""


def stage_keys(params: Params) -> Iterator[Key]:
    """Yield every stage of a preset, each after those it depends on."""
    yield from (("data", name) for name in params.datasets)
    yield from (("train", name) for name in params.runs)
    for kind, group in STUDIES.items():
        yield from ((kind, name) for name in getattr(params, group))
    yield from ((kind, "all") for kind in SHOWN)


def make_task(workspace: Workspace, params: Params, key: Key) -> Task:
    """Return the task of one stage.

    Raises:
        UnknownStageError: the settings have no such stage.
    """
    kind, name = key
    groups: dict[str, Mapping[str, Any]] = {"data": params.datasets, "train": params.runs}
    groups |= {study: getattr(params, group) for study, group in STUDIES.items()}
    known = list(groups[kind]) if kind in groups else ["all"] if kind in KINDS else []
    if name not in known:
        where = f"known: {', '.join(known) or 'none'}" if kind in KINDS else f"kinds: {', '.join(KINDS)}"
        raise UnknownStageError(f"preset {params.preset} has no stage {kind} {name} ({where})")
    if kind in STUDIES:
        return _study(workspace, params, kind, name)
    if kind == "sharpness":
        return _sharpness(workspace, params)
    if kind in SHOWN:
        return _shown(workspace, params, kind)
    return {"data": _data, "train": _train}[kind](workspace, params, name)


def published(workspace: Workspace, preset: str) -> Locate:
    """Return the function that locates the published output of a stage."""

    def locate(key: Key) -> Path:
        kind, name = key
        found = workspace.reports(preset) / MAIN_OUTPUT[kind] if kind in MAIN_OUTPUT else None
        return found or workspace.artifacts(preset, kind, name)

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
        below = "" if folder == str(root) else os.path.relpath(folder, root)
        for name in names:
            status = os.stat(os.path.join(folder, name))
            entries[os.path.join(below, name)] = [status.st_size, status.st_mtime_ns]
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


def _study(workspace: Workspace, params: Params, kind: str, name: str) -> Task:
    """Return the task of a study: of weights and data, or (slices) of data alone."""
    settings = getattr(params, STUDIES[kind])[name]
    run = owner(params, kind, settings)
    data = params.runs[run].data if run else settings.data
    return Task(
        key=(kind, name),
        settings={**settings.model_dump(), "device": params.device, **_evaluation(params, kind)},
        inputs={"data": Input(("data", data), _DATA_FILES), **weights(params, kind, settings, run)},
        outputs={".": workspace.artifacts(params.preset, kind, name)},
        modules=(f"lossatlas.stages.{kind}", *([_model_module(params, run)] if run else [])),
        places=_places(workspace, data=params.datasets[data].model_dump()),
        libraries=LIBRARIES + (("scipy",) if kind in _USES_SCIPY else ()),
    )


def _evaluation(params: Params, kind: str) -> dict[str, Any]:
    """Return how a study's losses are evaluated, nothing for those that are always exact."""
    return {"evaluation": params.evaluation.model_dump()} if kind in _MAPPED else {}


def _results(params: Params, *kinds: str, accounts: bool = False) -> dict[str, Input]:
    """Return the result files of all studies of some kinds, by role `kind/name`; with the accounts of their stages."""
    inputs: dict[str, Input] = {}
    for kind in kinds:
        files = (f"{kind}.json", *_RESULTS.get(kind, (f"{kind}.h5",)), *["stage.json"] * accounts)
        inputs |= {f"{kind}/{name}": Input((kind, name), files) for name in getattr(params, STUDIES[kind])}
    return inputs


def _sharpness(workspace: Workspace, params: Params) -> Task:
    """Return the task of the stage that draws numbers from all profiles and planes of a preset."""
    runs = {f"train/{run}": Input(("train", run), ("run.json",)) for run in params.runs}
    moments = {f"plane/{name}" for name, plane in params.planes.items() if plane.epoch is not None}
    return Task(
        key=("sharpness", "all"),
        settings={},
        inputs=runs
        | {role: item for role, item in _results(params, "profile", "plane").items() if role not in moments},
        outputs={"sharpness.json": workspace.reports(params.preset) / "sharpness.json"},
        modules=("lossatlas.stages.sharpness",),
        libraries=("numpy", "scipy", "h5py"),
    )


def _shown(workspace: Workspace, params: Params, kind: str) -> Task:
    """Return the task of a stage that shows or judges all results of a preset."""
    inputs = {f"data/{name}": Input(("data", name)) for name in params.datasets}
    inputs |= {f"train/{name}": Input(("train", name), _RUN_FILES) for name in params.runs}
    inputs |= _results(params, *STUDIES, accounts=kind == "report") | {"sharpness": Input(("sharpness", "all"))}
    reports = workspace.reports(params.preset)
    outputs = {
        "figures": {"figures": reports / "figures", "vector": reports / "vector"},
        "check": {"checks.json": reports / "checks.json"},
        "report": {name: reports / name for name in ("report.html", "report.md", "tables", "lines")},
        "explorer": {"explorer.html": reports / "explorer.html"},
    }[kind]
    if kind == "report":
        inputs |= {"figures": Input(("figures", "all")), "checks": Input(("check", "all"))}
    settings: dict[str, Any] = {
        "preset": params.preset,
        "title": params.title,
        "regime": params.regime,
        "datasets": {name: data.kind for name, data in params.datasets.items()},
        "runs": {name: {"data": run.data, "title": run.model.title} for name, run in params.runs.items()},
        "planes": {name: {"run": plane.run} for name, plane in params.planes.items() if plane.epoch is None},
        "lines": {name: {"run": line.run, "end": line.end} for name, line in params.lines.items()},
        "planned": {
            kind: {name: owner(params, kind, study) for name, study in getattr(params, group).items()}
            for kind, group in STUDIES.items()
        },
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
        libraries=(*_SHOWN, "plotly") if kind == "explorer" else _SHOWN,
        resources=_RESOURCES[kind],
    )


def expected_file(preset: str) -> str:
    """Return where the committed values of a preset on embedded data lie, relative to the repository."""
    return f"reports/expected/{preset}.json"
