"""A PostgreSQL server on the loopback, with a folder of its own, for as long as the tests run."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PASSWORD = "se/cr@t"  # has to be quoted in an address
QUOTED = "se%2Fcr%40t"


def program(name):
    """The path of one of PostgreSQL's programs, also where Debian keeps them, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def owner():
    """The user to run the server as, which may not be root: nobody else's if this process has no right to change."""
    if os.geteuid():
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names.get("nobody")
    if entry is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Server:
    """A running server."""

    def __init__(self, port):
        self.port = port

    def uri(self, database, password=QUOTED):
        return f"postgresql+psycopg://lossatlas:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, database, statement):
        """Run a statement; return its rows, if it has any."""
        import psycopg

        options = {"host": "127.0.0.1", "port": self.port, "user": "lossatlas", "password": PASSWORD}
        with psycopg.connect(dbname=database, autocommit=True, **options) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def migrated(self):
        """Make a database with MLflow's tables, once, in a process that ends and so leaves no connection to it."""
        self.execute("postgres", "create database migrated")
        code = (
            "import sys; from pathlib import Path; from lossatlas.tracking.connection import connect\n"
            "connect(sys.argv[1], experiment='template', artifact_root=Path(sys.argv[2]))"
        )
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", code, self.uri("migrated"), f"{folder}/artifacts"]
            subprocess.run(command, check=True, timeout=240)

    def create(self, name, *, empty=False):
        """Make a database for a test."""
        self.execute("postgres", f'create database "{name}"' + ("" if empty else " template migrated"))


@contextmanager
def serving():
    """Run a server; skip where there is none, or no driver for it."""
    lacking = [name for name in ("initdb", "postgres") if program(name) is None]
    if lacking:
        pytest.skip(f"needs PostgreSQL's {' and '.join(lacking)} (Debian: apt-get install postgresql)")
    if find_spec("psycopg") is None:
        pytest.skip('needs psycopg (pip install "lossatlas[postgres]")')
    folder = Path(tempfile.mkdtemp(prefix="lossatlas-postgresql-"))
    try:
        yield from _serving(folder)
    finally:
        shutil.rmtree(folder)


def _serving(folder):
    user = owner()
    (folder / "password").write_text(PASSWORD)
    if user:
        for path in (folder, folder / "password"):
            os.chown(path, user["user"], user["group"])
    data, quiet = folder / "data", {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    options = ["-U", "lossatlas", "-A", "scram-sha-256", "--pwfile", folder / "password", "-E", "UTF8", "--locale", "C"]
    subprocess.run([program("initdb"), "-D", data, *options, "--no-sync"], check=True, **quiet, **user)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # no socket files; nothing has to survive a power cut here
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    words = [word for setting in settings for word in ("-c", setting)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program("postgres"), "-D", data, *words], stderr=log, **quiet, **user)
    try:
        server = Server(port)
        _wait(server, process, folder / "log")
        server.migrated()
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once; no client is waited for
        process.wait(30)


def _wait(server, process, log):
    import psycopg

    end = time.monotonic() + 60
    while True:
        try:
            server.execute("postgres", "select 1")
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)
