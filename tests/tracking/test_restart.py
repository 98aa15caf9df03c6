"""A real `mlflow server` that is stopped and started again in the middle of a training."""

import signal
import sys

import pytest

from fault_cases import DATA, TRAIN, Place, end_session, ended, until
from lossatlas.config import write_params
from lossatlas.results import History

from .place import Place as Logged
from .served import free_port, listening, start, stop

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(sys.platform != "linux", reason="reads which addresses are listened on from /proc"),
]
EPOCHS = 30
# the training stands still after these epochs until a file is removed
GATES = (10, 20, 30)
SETUP = """
import os, time
from pathlib import Path
from lossatlas.tracking import live
live.RETRY = 0.2
plain_init, plain = live.LiveCurves.__init__, live.LiveCurves.on_epoch
def init(self, *arguments, **options):
    plain_init(self, *arguments, **options | {"delay": 0.0, "grace": 60.0})
def on_epoch(self, row):
    plain(self, row)
    gate = Path(f"gate{int(row['epoch'])}")
    if gate.exists():
        Path(f"at{int(row['epoch'])}").touch()
        while gate.exists():
            time.sleep(0.02)
live.LiveCurves.__init__, live.LiveCurves.on_epoch = init, on_epoch
"""
LOOPBACK = {"0100007F"}


def rows_until(logged, epoch):
    """Wait until an epoch is in the database."""
    until(lambda: logged.rows(f"select 1 from metrics where key = 'train_loss' and step = {epoch}"), 100)


def test_the_training_goes_on_and_no_row_is_lost_or_doubled(tmp_path):
    port = free_port()
    place = Place(tmp_path / "place", f"sizes.epochs={EPOCHS}", "runs.resnet20.train.checkpoints=[1]")
    root, log = place.workspace.root, tmp_path / "server.log"
    place.publish(*DATA)
    changes = ("tracking.live=true", f"tracking.uri=http://127.0.0.1:{port}")
    place.params = write_params(place.workspace, [*place.overrides, *changes])
    place.workspace.tracking.mkdir()
    logged = Logged(place.workspace)
    database = logged.options["uri"]
    server = start(database, port, log)
    for epoch in GATES:
        (root / f"gate{epoch}").touch()
    training = place.start("stage", *TRAIN, setup=SETUP)
    try:
        assert listening(server) == LOOPBACK
        until(lambda: (root / "at10").exists())
        rows_until(logged, 10)
        stop(server, signal.SIGKILL)  # with no time to put anything away
        (root / "gate10").unlink()
        until(lambda: (root / "at20").exists())  # the training goes on without it
        assert logged.rows("select max(step) from metrics where key = 'train_loss'") == [(10,)]
        server = start(database, port, log)
        (root / "gate20").unlink()
        until(lambda: (root / "at30").exists())
        rows_until(logged, 30)  # the curves resume
        stop(server)
        (root / "gate30").unlink()  # the run cannot be ended: the server is away again
        code, out, err = ended(training)
        assert code == 0 and "computed" in out
        assert err.count("warning: live curves of train/resnet20 stopped: cannot log to http://127.0.0.1:") in (1, 2)
        assert "live curves of train/resnet20 go on\n" in err and "Traceback" not in err
        server = start(database, port, log)
        for _ in range(2):
            code, out, err = place.run("track")
            assert (code, err) == (0, "")
        assert "0 created, 0 completed, 2 unchanged" in out
    finally:
        end_session(training)
        stop(server)
    history = History.load(place.published(*TRAIN) / "history.h5")
    assert len(history.epoch) == EPOCHS + 1
    for name in ("train_loss", "train_error", "test_loss", "test_error", "weight_norm"):
        found = logged.rows(f"select step, value from metrics where key = '{name}' order by step")
        assert found == [(step, float(value)) for step, value in enumerate(getattr(history, name))]
    assert logged.rows("select count(*) from runs") == [(2,)]
    assert logged.rows("select distinct status from runs") == [("FINISHED",)]
