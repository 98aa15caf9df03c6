"""Result files to MLflow: live curves during a training, and an idempotent import of everything published."""

from lossatlas.tracking.compared import common_settings, params_and_tags
from lossatlas.tracking.errors import TrackingError, shown
from lossatlas.tracking.live import LiveCurves
from lossatlas.tracking.records import Collected, Context, Record, collect, context_tags
from lossatlas.tracking.server import default_artifact_root, default_uri, ui_command
from lossatlas.tracking.store import Summary, track

__all__ = [
    "Collected",
    "Context",
    "LiveCurves",
    "Record",
    "Summary",
    "TrackingError",
    "collect",
    "common_settings",
    "context_tags",
    "default_artifact_root",
    "default_uri",
    "params_and_tags",
    "shown",
    "track",
    "ui_command",
]
