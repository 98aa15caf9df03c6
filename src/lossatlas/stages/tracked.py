"""From settings to MLflow: which database, which runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lossatlas.files import read_json, write_bytes
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.plan import SHOWN, STUDIES, stage_keys
from lossatlas.stages.study_inputs import owner
from lossatlas.stages.task import Key
from lossatlas.tracking import LiveCurves, collect, default_artifact_root, default_uri, track


def tracking_uri(workspace: Workspace, params: Params) -> str:
    """Return the tracking URI of the settings, by default the workspace's own database."""
    return params.tracking.uri or default_uri(workspace)


def _place(workspace: Workspace, params: Params) -> dict[str, Any]:
    root: Path = default_artifact_root(workspace)
    return {
        "uri": tracking_uri(workspace, params),
        "experiment": params.tracking.experiment,
        "artifact_root": root,
    }


def live_curves(workspace: Workspace, params: Params, key: Key, described: Mapping[str, Any]) -> LiveCurves | None:
    """Return the channel for the live curves of something that trains; None where nothing does, or none is wanted."""
    kind, name = key
    if kind not in ("train", "curve", "fge") or not params.tracking.live:
        return None
    if kind == "curve" and params.curves[name].train is None:
        return None
    run = params.runs[name if kind == "train" else owner(params, kind, getattr(params, STUDIES[kind])[name])]
    return LiveCurves(
        kind,
        name,
        params.preset,
        described["stage_hash"],
        params=described["settings"],
        tags={"lossatlas.family": run.model.family, "lossatlas.data": run.data},
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


def track_preset(workspace: Workspace, params: Params) -> str:
    """Log everything that the present preset has published; return what happened in a line."""
    # figures, check and report are one run: the report's
    stages = [key for key in stage_keys(params) if key[0] not in SHOWN]
    _restore_side_files(workspace, params, stages)
    records = collect(workspace, params.preset, stages=stages, commit=git_commit(workspace))
    summary = track(records, **_place(workspace, params))
    missing = f"; not published yet: {', '.join(' '.join(key) for key in records.missing)}" if records.missing else ""
    return f"{summary}{missing}"
