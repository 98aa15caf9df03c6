"""From settings to MLflow: which database, which runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.files import read_json, write_bytes
from lossatlas.paths import Workspace
from lossatlas.progress import progress
from lossatlas.settings import Params
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.completing import is_intact
from lossatlas.stages.plan import SHOWN, STUDIES, make_task, stage_keys
from lossatlas.stages.study_inputs import owner
from lossatlas.stages.task import Key
from lossatlas.tracking import (
    Context,
    LiveCurves,
    Record,
    collect,
    common_settings,
    context_tags,
    default_artifact_root,
    default_uri,
    params_and_tags,
    track,
)

if TYPE_CHECKING:
    from lossatlas.tracking.comparison import Pages

# neighbours in a preset differ, also for the colour-blind (Okabe and Ito's, then lighter and darker ones)
_HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000", "#b2a400")
COLOURS = (*_HUES, "#004c77", "#f2c566", "#005f45", "#e6b8cf", "#9fd4f3", "#8f3f00", "#7f7f7f", "#6b6300")


def tracking_uri(workspace: Workspace, params: Params) -> str:
    """Return the tracking URI of the settings, by default the workspace's own database."""
    return params.tracking.uri or default_uri(workspace)


def _place(workspace: Workspace, params: Params) -> dict[str, Any]:
    root: Path = default_artifact_root(workspace)
    return {
        "uri": tracking_uri(workspace, params),
        "experiment": experiment_name(params),
        "artifact_root": root,
    }


def experiment_name(params: Params) -> str:
    """Return the name of the preset's experiment."""
    return f"{params.tracking.experiment} {params.preset}"


def contexts(workspace: Workspace, params: Params) -> dict[Key, Context]:
    """Return where each stage's result is shown, what uses it, and the settings that all of its kind share."""
    from lossatlas.report.appearances import appearances

    tasks = {key: make_task(workspace, params, key) for key in stage_keys(params) if key[0] not in SHOWN}
    serves: dict[Key, list[str]] = {key: [] for key in tasks}
    for key, task in tasks.items():
        for item in task.inputs.values():
            serves[item.key].append(" ".join(key))
    common = {
        kind: common_settings(task.settings for key, task in tasks.items() if key[0] == kind) for kind, _ in tasks
    }
    names = {kind: [name for other, name in tasks if other == kind] for kind in common}
    return {
        (kind, name): Context(
            papers=appearances(kind, name),
            serves=tuple(dict.fromkeys(serves[kind, name])),
            common=common[kind],
            colour=COLOURS[names[kind].index(name) % len(COLOURS)],
        )
        for kind, name in tasks
    }


def compared(workspace: Workspace, params: Params) -> Pages:
    """Return the pages of the UI that compare the preset's trainings, relative to the server's address.

    Raises:
        TrackingError: the server or database cannot be used.
    """
    from lossatlas.tracking.comparison import comparison_pages

    return comparison_pages(preset=params.preset, **_place(workspace, params))


def live_curves(workspace: Workspace, params: Params, key: Key, described: Mapping[str, Any]) -> LiveCurves | None:
    """Return the channel for the live curves of something that trains; None where nothing does, or none is wanted."""
    kind, name = key
    if kind not in ("train", "curve", "fge") or not params.tracking.live:
        return None
    if kind == "curve" and params.curves[name].train is None:
        return None
    context = contexts(workspace, params)[key]
    settings, constants = params_and_tags(described["settings"], context.common)
    run = params.runs[name if kind == "train" else owner(params, kind, getattr(params, STUDIES[kind])[name])]
    return LiveCurves(
        kind,
        name,
        params.preset,
        described["stage_hash"],
        params=settings,
        tags={
            "lossatlas.family": run.model.family,
            "lossatlas.data": run.data,
            **constants,
            **context_tags(context),
        },
        **_place(workspace, params),
    )


def _restore_side_files(workspace: Workspace, params: Params, keys: Iterable[Key]) -> None:
    """Bring back timings and host facts of stages that DVC restored from its cache, from scratch where it has them."""
    for key in keys:
        side = workspace.side(params.preset, *key)
        stage = workspace.artifacts(params.preset, *key) / "stage.json"
        if side.is_file() or not stage.is_file():
            continue
        kept = scratch_folder(workspace, key, read_json(stage)["stage_hash"]) / "side.json"
        if kept.is_file():
            write_bytes(side, kept.read_bytes())


def _require_intact(workspace: Workspace, params: Params, key: Key) -> None:
    folder = workspace.artifacts(params.preset, *key)
    if (folder / "stage.json").is_file() and not is_intact(folder):
        raise ValueError(
            f"{folder} was altered after it was published, and nothing was logged; "
            f"run `dvc repro` or `lossatlas stage {' '.join(key)}`"
        )


def _counted(records: Iterable[Record], advance: Callable[[int], None]) -> Iterator[Record]:
    for record in records:
        yield record
        advance(1)


def track_preset(workspace: Workspace, params: Params) -> str:
    """Log everything that the present preset has published; return what happened in a line.

    Raises:
        ValueError: a published output was altered; the text names it.
        TrackingError: the server or database cannot be used.
    """
    # figures, check and report are one run: the report's
    stages = [key for key in stage_keys(params) if key[0] not in SHOWN]
    _restore_side_files(workspace, params, stages)
    for key in stages:
        _require_intact(workspace, params, key)
    around = contexts(workspace, params)
    records = collect(workspace, params.preset, stages=stages, commit=git_commit(workspace), context=around)
    with progress("track", len(stages) + 1, unit="runs") as advance:
        summary = track(_counted(records, advance), **_place(workspace, params))
    missing = f"; not published yet: {', '.join(' '.join(key) for key in records.missing)}" if records.missing else ""
    return f"{summary}{missing}"
