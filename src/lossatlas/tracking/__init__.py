"""Result files to MLflow: live curves during a training, and an idempotent import of everything published."""

from lossatlas.tracking.errors import TrackingError
from lossatlas.tracking.live import LiveCurves
from lossatlas.tracking.records import Collected, Record, collect
from lossatlas.tracking.server import default_artifact_root, default_uri, ui_command
from lossatlas.tracking.store import Summary, track

__all__ = [
    "Collected",
    "LiveCurves",
    "Record",
    "Summary",
    "TrackingError",
    "collect",
    "default_artifact_root",
    "default_uri",
    "track",
    "ui_command",
]
