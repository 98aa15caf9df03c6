"""The tracking database or server: there, and one that can be written."""

from __future__ import annotations

import socket
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from lossatlas.doctor.finding import Finding, note, ok, problem
from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.tracking import TrackingError, default_uri
from lossatlas.tracking.connection import require_driver
from lossatlas.tracking.errors import shown
from lossatlas.tracking.server import database_file

WAIT = 2.0  # seconds
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def tracking(workspace: Workspace, params: Params) -> Finding:
    """Look at the database or server of the settings; only a server that is named is asked over the network."""
    uri = params.tracking.uri or default_uri(workspace)
    try:
        path = database_file(uri)
    except TrackingError as error:
        return problem("tracking", str(error), "`lossatlas compose tracking.uri=...`")
    if path is not None:
        return _sqlite(path)
    if uri.startswith(("http://", "https://")):
        return _server(uri)
    return _postgresql(uri) if uri.startswith("postgresql") else _port(uri)


def _sqlite(path: Path) -> Finding:
    if not path.exists():
        return ok("tracking", f"{path} is made on first use")
    try:
        with closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as database:
            tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
            database.execute("begin immediate")
            database.execute("create table lossatlas_doctor (x)")  # a file that is only read refuses this, not `begin`
            database.execute("rollback")
    except sqlite3.Error as error:
        busy = "locked" in str(error)
        remedy = "wait for the process that holds it" if busy else "make it writable, or move it away: track fills anew"
        return (note if busy else problem)("tracking", f"{path} cannot be written ({error})", remedy)
    if tables and "alembic_version" not in tables:
        return problem("tracking", f"{path} is no MLflow database", "move it away, or set tracking.uri")
    return ok("tracking", f"{path} can be written")


def _server(uri: str) -> Finding:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=WAIT) as answer:
            answer.read(100)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return problem("tracking", f"{shown(uri)} does not answer ({reason})", "start that server; trainings go on")
    return ok("tracking", f"{shown(uri)} answers")


def _postgresql(uri: str) -> Finding:
    reached = _port(uri)
    if reached.verdict == "problem":
        return reached
    try:
        require_driver(uri)
    except TrackingError as error:
        return problem("tracking", *str(error).split("; ", 1))
    from sqlalchemy import NullPool, create_engine, exc, inspect, text

    engine = create_engine(uri, poolclass=NullPool)
    try:
        with engine.connect() as database:
            tables = set(inspect(database).get_table_names())
            database.execute(text("create table lossatlas_doctor (x int)"))
            database.rollback()
    except exc.SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        remedy = "see to its name, user and password (PGPASSWORD or ~/.pgpass keep one out of the settings)"
        return problem("tracking", f"{shown(uri)} cannot be written ({cause[:200]})", remedy)
    if tables and "alembic_version" not in tables:
        return problem("tracking", f"{shown(uri)} is no MLflow database", "name an empty one with tracking.uri")
    return ok(
        "tracking", f"{shown(uri)} can be written" if tables else f"{shown(uri)} is empty, and filled on first use"
    )


def _port(uri: str) -> Finding:
    parts = urlsplit(uri)
    port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname is None or port is None:
        return note("tracking", f"{shown(uri)} is not looked at", "`lossatlas track` tells")
    try:
        socket.create_connection((parts.hostname, port), WAIT).close()
    except OSError as error:
        return problem("tracking", f"{shown(uri)} does not answer ({error})", "start that server; trainings go on")
    return ok("tracking", f"{shown(uri)} answers")
