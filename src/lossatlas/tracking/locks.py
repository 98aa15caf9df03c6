"""One process at a time: by a lock file on this machine, and in a PostgreSQL database among all its clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lossatlas.files import sha256_bytes

PATIENCE = 300.0  # seconds


@dataclass(frozen=True)
class Locks:
    """Where the locks of a tracking database are.

    Attributes:
        file: the beginning of the lock files' names.
        database: the URI of a PostgreSQL database, which is locked too; None for another.
    """

    file: Path
    database: str | None = None

    @contextmanager
    def held(self, task: str) -> Iterator[None]:
        """Hold the lock of a task; the system or the database frees it when this process dies."""
        from filelock import FileLock

        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_name(f"{self.file.name}.{task}.lock"), timeout=PATIENCE):
            if self.database is None:
                yield
                return
            with _held_by_database(self.database, task):
                yield


@contextmanager
def _held_by_database(uri: str, task: str) -> Iterator[None]:
    """Hold an advisory lock, which belongs to a connection of its own."""
    from sqlalchemy import NullPool, create_engine, text

    number = int(sha256_bytes(f"lossatlas {task}".encode())[:15], 16)
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"set lock_timeout = {int(1000 * PATIENCE)}"))
        connection.execute(text("select pg_advisory_lock(:number)"), {"number": number})
        yield
