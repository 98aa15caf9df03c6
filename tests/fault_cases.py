"""A small workspace in which commands are started, stopped and starved."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from lossatlas.config import write_params
from lossatlas.paths import Workspace
from lossatlas.stages.runner import Runner

REPOSITORY = Path(__file__).parents[1]
TINY = (
    "preset=smoke",
    "tracking.live=false",
    "sizes.batch_size=32",
    "datasets.digits.train=64",
    "datasets.digits.test=32",
    "runs.resnet20.model.options.depth=8",
    "runs.resnet20.model.options.base_width=2",
    "sizes.train_examples=16",
    "sizes.test_examples=16",
)
DATA, TRAIN, PLANE = ("data", "digits"), ("train", "resnet20"), ("plane", "resnet20")


class Place:
    """A workspace with the settings of a small preset."""

    def __init__(self, root, *overrides):
        self.workspace = Workspace(root)
        root.mkdir()
        (root / "dvc.yaml").touch()
        shutil.copytree(REPOSITORY / "conf", self.workspace.conf)
        self.overrides = (*TINY, *overrides)
        self.params = write_params(self.workspace, list(self.overrides))

    def publish(self, *key):
        return Runner(self.workspace, self.params).publish(key)

    def published(self, *key):
        return self.workspace.artifacts("smoke", *key)

    def start(self, *arguments, setup=""):
        """Start a command in a session of its own, after the statements `setup`."""
        program = f"{setup}\nfrom lossatlas.cli import main\nif __name__ == '__main__': main()"
        file = self.workspace.root / "command.py"
        file.write_text(program)
        return subprocess.Popen(
            [sys.executable, str(file), *arguments],
            cwd=self.workspace.root,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a shell's background jobs, such as these tests may be, ignore it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments, setup=""):
        """Return exit code, output and errors of a command."""
        return ended(self.start(*arguments, setup=setup))


def ended(process):
    """Wait; return exit code, output and errors."""
    try:
        out, err = process.communicate(timeout=120)
    finally:
        end_session(process)
    return process.returncode, out, err


def end_session(process):
    """Kill what is left of a process and all that it started."""
    if process.poll() is None or alive(process):
        os.killpg(process.pid, signal.SIGKILL)


def alive(process):
    """The commands of a session that have not ended, by process number."""
    columns = ["-o", "stat=", "-o", "pid=", "-o", "args="]
    listed = subprocess.run(["ps", "-ww", *columns, "-s", str(process.pid)], capture_output=True, text=True)
    lines = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return {int(number): command for state, number, command in lines if not state.startswith("Z")}


def until(condition, seconds=60.0):
    """Wait until something is there and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError("it did not come")
