"""Opening an MLflow experiment: quiet, created once, with its database."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lossatlas.tracking.errors import TrackingError, shown
from lossatlas.tracking.locks import Locks
from lossatlas.tracking.names import NOTE
from lossatlas.tracking.server import database_file
from lossatlas.tracking.session import Session

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "GIT_PYTHON_REFRESH": "quiet",
}
# the UI shows such an experiment as trainings, not as conversations with a language model
EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    NOTE: (
        "A run per stage. `lossatlas ui` says where the trainings are compared; the tags `lossatlas.papers` and "
        "`lossatlas.serves` say which figures show a run and which studies use it; the run `report` has the report."
    ),
}


def connect(uri: str, *, experiment: str, artifact_root: Path) -> Session:
    """Open an experiment, created where it is missing together with its database.

    Raises:
        TrackingError: the URI is none, its database needs a driver that is not installed, or the experiment's files or
            name are not usable. Failures of MLflow itself come as they are; `explained` translates them.
    """
    database = database_file(uri)
    postgresql = uri.startswith("postgresql")
    if postgresql:
        require_driver(uri)
    locks = Locks(database or artifact_root.absolute().with_name("mlflow"), uri if postgresql else None)
    if database is not None and database.exists():
        _require_database(database)
    mlflow = _mlflow()
    local = not uri.startswith(("http://", "https://"))
    with locks.held("create"):
        client = mlflow.MlflowClient(tracking_uri=uri)  # migrates an empty database, which only one process may do
        found = client.get_experiment_by_name(experiment)
        if found is None:
            if local:
                artifact_root.mkdir(parents=True, exist_ok=True)
            place = artifact_root.absolute().as_uri() if local else None
            found = client.get_experiment(_create(client, experiment, place))
            for key, value in EXPERIMENT.items():
                client.set_experiment_tag(found.experiment_id, key, value)
    if found.lifecycle_stage == "deleted":
        remedy = f"`mlflow experiments restore -x {found.experiment_id}` or choose another name"
        raise TrackingError(f"{shown(uri)}: the experiment {experiment!r} was deleted; {remedy}")
    parts = urlsplit(found.artifact_location)
    if local and parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        raise TrackingError(
            f"{shown(uri)}: the experiment {experiment!r} keeps its artifacts in {unquote(parts.path)}, which is gone "
            f"(was the checkout moved?); restore that folder, or remove the database and track again"
        )
    return Session(client, found.experiment_id, locks)


def _require_database(path: Path) -> None:
    """Refuse a file that is no database or was cut short; MLflow would try to open it for minutes.

    Only its header and the list of tables are read, whatever its size.

    Raises:
        sqlite3.Error: it is none.
    """
    with closing(sqlite3.connect(path, timeout=60.0)) as database:
        database.execute("select name from sqlite_master").fetchall()


def require_driver(uri: str) -> None:
    """Refuse a PostgreSQL database that SQLAlchemy has no driver for.

    Raises:
        TrackingError: the driver is not installed.
    """
    driver = urlsplit(uri).scheme.partition("+")[2] or "psycopg2"
    if find_spec(driver) is None:
        raise TrackingError(
            f"{shown(uri)} needs the package {driver}, which is not installed; "
            'run `pip install "lossatlas[postgres]"` and name postgresql+psycopg://...'
        )


def _mlflow() -> Any:
    """Import MLflow without telemetry, its log lines and the one deprecation it raises in SQLAlchemy."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
    import mlflow

    for name in ("mlflow", "alembic", "sqlalchemy", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow


def _create(client: Any, experiment: str, place: str | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(experiment, artifact_location=place))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(experiment).experiment_id)
