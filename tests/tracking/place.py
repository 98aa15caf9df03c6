"""A workspace and what lies in its tracking database."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from lossatlas.paths import Workspace
from lossatlas.tracking import default_artifact_root, default_uri


@dataclass(frozen=True)
class Place:
    """A workspace with the default database, or one on a PostgreSQL server."""

    workspace: Workspace
    server: Any = None
    name: str = ""

    @property
    def options(self):
        return {
            "uri": self.server.uri(self.name) if self.server else default_uri(self.workspace),
            "experiment": "lossatlas",
            "artifact_root": default_artifact_root(self.workspace),
        }

    def rows(self, query):
        if self.server:
            return self.server.execute(self.name, query)
        connection = sqlite3.connect(self.workspace.tracking / "mlflow.db")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def change(self, statement):
        if self.server:
            self.server.execute(self.name, statement)
            return
        connection = sqlite3.connect(self.workspace.tracking / "mlflow.db")
        try:
            with connection:
                connection.execute(statement)
        finally:
            connection.close()

    def counts(self):
        """Rows per table and the number of artifact files."""
        tables = ("runs", "metrics", "latest_metrics", "params", "tags")
        rows = {table: self.rows(f"select count(*) from {table}")[0][0] for table in tables}
        return rows | {"files": len(self.files())}

    def files(self):
        root = default_artifact_root(self.workspace)
        return sorted(path for path in root.rglob("*") if path.is_file())
