"""Tasks of worker processes that are told to stop at an awkward moment."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from fault_cases import until
from lossatlas.engine.executors import process_pool
from lossatlas.stages import stopping
from lossatlas.stages.stopping import StoppedError, deferring_signals, obeying_parent


class Told(stopping._Worker):
    """SIGTERM comes just when it begins to be open to it, or just before it no longer is."""

    moment = True
    state = False

    def follow(self):
        pass

    @property
    def open(self):
        return self.state

    @open.setter
    def open(self, value):
        if value:
            self.state = True
        if value == self.moment and not self.told:
            self.stop(signal.SIGTERM, None)
        self.state = value


@pytest.mark.parametrize("moment", [True, False])
def test_a_worker_told_at_the_edge_of_a_task_is_outside_after_it(monkeypatch, moment):
    worker = Told()
    worker.moment = moment
    monkeypatch.setattr(stopping, "_worker", worker)
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    ran = []
    with pytest.raises(StoppedError), obeying_parent():
        ran.append(True)
    assert ran == ([] if moment else [True])
    assert worker.told and not worker.inside and not worker.open


def obeyed():
    with obeying_parent():
        return True


def test_a_worker_told_while_it_starts_refuses_its_tasks_and_ends_in_order():
    with process_pool(1) as pool:
        with deferring_signals():
            first, second = pool.submit(obeyed), pool.submit(obeyed)
        [worker] = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGTERM)
        for future in (first, second):
            with pytest.raises(StoppedError):
                future.result(120)
    assert worker.exitcode == 0


PARENT = """
import os, sys
from lossatlas.engine.executors import process_pool
from lossatlas.stages.stopping import deferring_signals
if __name__ == "__main__":
    pool = process_pool(1)
    with deferring_signals():
        print(pool.submit(os.getpid).result(), flush=True)
    os._exit(0)
"""


def test_a_worker_without_a_task_yet_ends_with_its_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    done = subprocess.run([sys.executable, str(tmp_path / "parent.py")], capture_output=True, text=True, timeout=120)
    until(lambda: not os.path.exists(f"/proc/{int(done.stdout)}"))
