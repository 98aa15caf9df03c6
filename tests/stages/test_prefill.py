"""A stage as a task of any executor."""

import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import torch

from lossatlas.closure import package_hash
from lossatlas.config import compose
from lossatlas.paths import Workspace
from lossatlas.stages import prefill, runner
from lossatlas.stages.plan import make_task
from lossatlas.stages.prefill import complete_stage
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Task
from repository_copy import ROOT

WITHOUT = """
import sys, torch
from pathlib import Path
from lossatlas.closure import package_hash
from lossatlas.paths import Workspace
from lossatlas.stages import prefill

class Runner:
    def __init__(self, *_, **__): pass
    def prefill(self, key): return torch.get_num_threads()

torch.set_num_threads(max(2, torch.get_num_threads()))
prefill.Runner = Runner
inside = prefill.complete_stage(Workspace(Path(sys.argv[1])), None, ("data", "digits"), package_hash())
print(inside, torch.get_num_threads())
"""


def test_a_stage_computes_with_one_thread_in_a_process_that_nobody_set_up():
    """Such as an MPI rank, or a Dask worker without a nanny."""
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", WITHOUT, str(ROOT)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    inside, after = map(int, done.stdout.split())
    assert inside == 1 and after > 1


def test_stages_in_threads_of_one_process_take_turns(monkeypatch):
    inside, most = [], []

    def stage(key):
        inside.append(key)
        most.append((len(inside), torch.get_num_threads()))
        time.sleep(0.05)
        inside.pop()
        return key

    monkeypatch.setattr(prefill, "Runner", lambda *_, **__: SimpleNamespace(prefill=stage))
    monkeypatch.setattr(prefill, "_idle_workers", lambda params: None)
    keys = [("train", str(i)) for i in range(6)]
    with ThreadPoolExecutor(3) as executor:
        tasks = [executor.submit(complete_stage, Workspace(ROOT), None, key, package_hash()) for key in keys]
        assert [task.result() for task in tasks] == keys
    assert set(most) == {(1, 1)}


def test_a_stage_looks_once_at_each_that_it_depends_on(tmp_path, monkeypatch):
    """A page depends on the data through every study: looking at thousands of images each time takes minutes."""
    params, _ = compose(ROOT / "conf", ["preset=smoke"])
    described = Counter()

    class Described(Task):
        def describe(self, locate):
            described[self.key] += 1
            for item in self.inputs.values():
                locate(item.key)
            return {"stage_hash": "0" * 64}

    def task(*arguments):
        return Described(**vars(make_task(*arguments)))

    monkeypatch.setattr(runner, "make_task", task)
    there = Runner(Workspace(tmp_path), params).scratch(("report", "all"))
    assert there.parent.name == "report"
    assert ("data", "digits") in described and len(described) > 20
    assert set(described.values()) == {1}
