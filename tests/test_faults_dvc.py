"""Two `dvc repro` at once in one checkout."""

import subprocess

import pytest

from repository_copy import environment

pytestmark = pytest.mark.pipeline


def test_one_works_and_the_other_says_who_does(repository):
    folder, run = repository
    run("lossatlas", "compose", "preset=smoke")
    command = ["dvc", "repro", "data@digits"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(command, cwd=folder, env=environment(folder), **pipes) for _ in range(2)]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert min(process.returncode for process in both) == 0, told
    for process, text in zip(both, told, strict=True):
        assert process.returncode == 0 or "is being blocked by" in text or "Unable to acquire lock" in text, text
        assert "Traceback" not in text
    assert "Data and pipelines are up to date." in run(*command).stdout
    assert "problem" not in run("lossatlas", "doctor").stdout
    assert not [path for path in (folder / "artifacts").rglob("*") if path.name.endswith(".part")]
