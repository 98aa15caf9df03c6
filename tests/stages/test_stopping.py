"""Tasks of worker processes that are told to stop at an awkward moment."""

import multiprocessing
import signal

import pytest

from lossatlas.stages import stopping
from lossatlas.stages.stopping import StoppedError, obeying_parent


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
