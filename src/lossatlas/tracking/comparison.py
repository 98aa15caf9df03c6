"""The addresses at which the UI compares the runs of a preset, and opening it once a server is there."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lossatlas.tracking.connection import connect
from lossatlas.tracking.errors import explained
from lossatlas.tracking.names import SUPERSEDED, TAG

MOST_RUNS = 60  # side by side
_KINDS = ("train", "fge")  # those with a curve per epoch
START = 120.0  # seconds that a server has to start


@dataclass(frozen=True)
class Pages:
    """Pages of the UI, relative to the server's address.

    Attributes:
        side_by_side: the settings and results of a preset's trainings; a list where there are too few or many.
        curves: charts of their values per epoch.
    """

    side_by_side: str
    curves: str


def comparison_pages(uri: str, *, experiment: str, artifact_root: Path, preset: str) -> Pages:
    """Return the pages that compare a preset's trainings.

    Args:
        uri: an MLflow tracking URI; the database is created where it is missing.
        experiment: the experiment's name.
        artifact_root: folder of the artifacts of a new experiment.
        preset: the preset's name.

    Raises:
        TrackingError: the server or database cannot be used.
    """
    with explained(uri):
        session = connect(uri, experiment=experiment, artifact_root=artifact_root)
        found = {kind: session.runs(preset=preset, kind=kind) for kind in _KINDS}
    kind = next((kind for kind in _KINDS if found[kind]), _KINDS[0])
    runs = [run.info.run_id for run in found[kind] if SUPERSEDED not in run.data.tags]
    listed = f"/#/experiments/{session.experiment_id}/runs"
    wanted = quote(f"tags.`{TAG}kind` = '{kind}'")
    both = f"/#/compare-runs?runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([session.experiment_id]))}"
    return Pages(
        side_by_side=both if 2 <= len(runs) <= MOST_RUNS else f"{listed}?searchFilter={wanted}",
        curves=f"{listed}?searchFilter={wanted}&compareRunsMode=CHART",
    )


def open_when_served(base: str, page: str) -> bool:
    """Wait for a server and show a page of it in a graphical browser; return whether that was done."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        return False
    end = time.monotonic() + START
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{base}/health", timeout=5).close()
            return webbrowser.open(f"{base}{page}")
        except OSError:
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    open_when_served(*sys.argv[1:3])
