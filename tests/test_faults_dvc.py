"""Two `dvc repro` at once in one checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fault_cases import end_session, until
from repository_copy import environment

pytestmark = pytest.mark.pipeline
STAGES = ("data digits", "train resnet20")
SMALL = ("sizes.epochs=1", "datasets.digits.train=64", "datasets.digits.test=32", "planes.resnet20_epoch1.epoch=null")
# what DVC calls in the place of the program: each of these stages stands still at its start until it is let go
HELD = f"""#!{sys.executable}
import os, sys, time
from pathlib import Path
name = " ".join(sys.argv[2:])
if name in {STAGES!r}:
    Path(__file__).with_name(name + " began").touch()
    while not Path(__file__).with_name(name + " may go on").exists():
        time.sleep(0.05)
os.execv({str(Path(sys.executable).with_name("lossatlas"))!r}, ["lossatlas", *sys.argv[1:]])
"""


@pytest.fixture
def gate(tmp_path_factory):
    """A folder with the program that stands still."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "lossatlas").write_text(HELD)
    (folder / "lossatlas").chmod(0o755)
    return folder


def start(folder, gate, *command):
    variables = environment(folder)
    variables["PATH"] = f"{gate}{os.pathsep}{variables['PATH']}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=variables, start_new_session=True, **pipes)


def test_one_works_and_the_other_says_who_does(repository, gate):
    folder, run = repository
    run("lossatlas", "compose", "preset=smoke", *SMALL)
    command = "dvc", "repro", "train@resnet20"
    first = start(folder, gate, *command)
    try:
        for stage in STAGES:
            until(lambda stage=stage: (gate / f"{stage} began").exists() or first.poll() is not None, 120)
            assert first.poll() is None, first.communicate()[0]
            # the first stands in the midst of this stage, which is all that the second is to do
            item = stage.replace(" ", "@")
            second = start(folder, gate, "dvc", "repro", "--force", "--single-item", item)
            told = second.communicate(timeout=120)[0]
            assert first.poll() is None
            assert second.returncode != 0 and "Traceback" not in told
            assert f"failed to reproduce '{item}'" in told and "is being blocked by" in told, told
            assert f"(PID {first.pid}): " in told and "dvc repro train@resnet20" in told, told
            (gate / f"{stage} may go on").touch()
        told = first.communicate(timeout=240)[0]
    finally:
        end_session(first)
        first.communicate()
    assert first.returncode == 0 and "Traceback" not in told, told
    assert "Data and pipelines are up to date." in run(*command).stdout
    assert "problem" not in run("lossatlas", "doctor").stdout
    assert not [path for path in (folder / "artifacts").rglob("*") if path.name.endswith(".part")]
