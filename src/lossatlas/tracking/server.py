"""Where the tracking database lies by default, and the command that shows it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lossatlas.paths import Workspace
from lossatlas.tracking.errors import TrackingError, shown

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def default_uri(workspace: Workspace) -> str:
    """Return the URI of the workspace's own database, `tracking/mlflow.db`."""
    return f"sqlite:///{(workspace.tracking / 'mlflow.db').absolute()}"


def default_artifact_root(workspace: Workspace) -> Path:
    """Return the folder of the artifacts beside that database, `tracking/artifacts`."""
    return (workspace.tracking / "artifacts").absolute()


def ui_command(uri: str, port: int, *, artifact_root: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of an MLflow server on the loopback that shows a database.

    Start it in a process group of its own and end that group: the server has a child.

    Args:
        uri: the database.
        port: where to listen, 1 to 65535.
        artifact_root: where runs created through this server put their artifacts; by default `artifacts` beside an
            SQLite file, in the current folder for another database.

    Raises:
        ValueError: the URI is itself a server, or the port is out of range.
        TrackingError: the URI is none.
    """
    if uri.startswith(("http://", "https://")):
        raise ValueError(f"uri={shown(uri)!r} is a server already; open it in a browser")
    if not 1 <= port <= 65535:
        raise ValueError(f"port={port} is not within 1 to 65535")
    if artifact_root is None:
        artifact_root = (database_file(uri) or Path("mlflow.db")).with_name("artifacts")
    options = {
        "--workers": "1",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--artifacts-destination": artifact_root.absolute().as_uri(),
    }
    words = [word for option in options.items() for word in option]
    # a list of processes shows a command's words, a password in them too; its environment is its owner's
    return [sys.executable, "-m", "mlflow", "server", *words], os.environ | QUIET | {"MLFLOW_BACKEND_STORE_URI": uri}


def database_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI, None for another kind of URI."""
    scheme, separator, rest = uri.partition("://")
    if not separator or (scheme == "sqlite" and rest.strip("/") in ("", ":memory:")):
        example = "sqlite:////absolute/path/mlflow.db or http://127.0.0.1:5000"
        raise TrackingError(f"{shown(uri)!r} is no tracking URI; give for example {example}")
    return Path(rest.removeprefix("/")).absolute() if scheme == "sqlite" else None
