"""Remove what runs that are no longer planned have left in the report's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lossatlas.paths import Workspace
from lossatlas.settings import Params


def stale_files(workspace: Workspace, params: Params) -> Iterator[Path]:
    """Yield the metrics and curves of runs that `params` does not have; DVC forgets such files."""
    reports = workspace.reports(params.preset)
    for pattern in ("metrics/*.json", "curves/*.csv"):
        yield from (path for path in sorted(reports.glob(pattern)) if path.stem not in params.runs)


def prune(workspace: Workspace, params: Params) -> list[Path]:
    """Remove those files and return their paths."""
    removed = list(stale_files(workspace, params))
    for path in removed:
        path.unlink()
    return removed
