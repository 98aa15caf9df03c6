"""A real `mlflow server` on the loopback."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from lossatlas.tracking import ui_command


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def start(uri, port, log, **options):
    """Start a server over a database and wait until it answers."""
    command, environment = ui_command(uri, port, **options)
    with log.open("a") as stream:
        server = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    end = time.monotonic() + 150
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return server
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                stop(server)
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)


def stop(server, number=signal.SIGTERM):
    """End a server with its children."""
    if server.poll() is None:
        os.killpg(server.pid, number)
        server.wait(60)


@contextmanager
def serving(uri, log, **options):
    """Run a server; yield its address."""
    port = free_port()
    server = start(uri, port, log, **options)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(server)


def listening(server):
    """The addresses at which a server and its children listen, without their ports."""
    table = "/proc/net/tcp", "/proc/net/tcp6"
    inodes = {}
    for path in table:
        with open(path) as stream:
            for line in stream.readlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    inodes[words[9]] = words[1].rpartition(":")[0]
    found = set()
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(server.pid)], capture_output=True, text=True, check=True)
    for number in listed.stdout.split():
        folder = f"/proc/{number}/fd"
        for handle in os.listdir(folder) if os.path.isdir(folder) else ():
            try:
                target = os.readlink(f"{folder}/{handle}")
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                found.add(inodes[target[8:-1]])
    return found
