import subprocess
import sys
import time

from lossatlas.paths import Workspace
from lossatlas.tracking import LiveCurves, collect, track

from .cases import HASH, STAGES, history, write_train
from .place import Place

BACKENDS = ("sqlite", "postgresql")
SCRIPT = """
import sys
from pathlib import Path
from lossatlas.tracking import LiveCurves
uri, root, name, epochs = sys.argv[1:]
live = LiveCurves("train", name, "default", name * 8, uri=uri, experiment="lossatlas", artifact_root=Path(root),
                  params={"model": {"name": name}}, delay=0.0, grace=60.0)
for epoch in range(int(epochs)):
    live.on_epoch({"epoch": epoch, "train_loss": 1.0 / (epoch + 1), "learning_rate": 0.1 if epoch else float("nan")})
live.close("finished")
"""


def rows(epochs):
    curve = history()
    names = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")
    return [{"epoch": e} | {name: float(getattr(curve, name)[e]) for name in names} for e in epochs]


def live(place, **options):
    return LiveCurves("train", "resnet20", "default", HASH, **(place.options | {"delay": 0.0, "grace": 60.0} | options))


def test_track_adds_only_what_the_live_curves_lack(place, results, capfd):
    curves = live(place, params={"model": {"depth": 20}}, tags={"lossatlas.family": "resnet"})
    for row in rows(range(5)):
        curves.on_epoch(row)
    curves.close("finished")
    assert place.counts()["runs"] == 1
    assert place.counts()["metrics"] == 5 * 5 + 4
    assert place.rows("select status from runs") == [("FINISHED",)]
    summary = track(collect(results, "default", stages=STAGES), **place.options)
    assert summary.completed == ("train/resnet20",)
    assert place.counts()["metrics"] == 5 * 5 + 4 + 1000 + 7 + 1 + 3
    assert place.counts()["params"] == 3 * 4
    assert capfd.readouterr().err == ""


def test_a_resumed_training_goes_on_in_its_run(place):
    first = live(place)
    for row in rows(range(3)):
        first.on_epoch(row)
    first.close("killed")
    assert place.rows("select status from runs") == [("KILLED",)]
    second = live(place)
    for row in rows(range(1, 5)):
        second.on_epoch(row)
    second.close("diverged")
    assert place.rows("select status from runs") == [("FINISHED",)]
    assert place.rows("select value from tags where key = 'lossatlas.status'") == [("diverged",)]
    assert place.counts()["metrics"] == 5 * 5 + 4


def test_two_trainings_create_one_database_and_log_to_it(tmp_path):
    place = Place(Workspace(tmp_path))
    options = place.options
    command = [sys.executable, "-c", SCRIPT, options["uri"], str(options["artifact_root"])]
    names = ("vggnet-9", "vggnet16")
    jobs = [subprocess.Popen([*command, name, "30"], stderr=subprocess.PIPE, text=True) for name in names]
    assert [job.communicate(timeout=120)[1] for job in jobs] == ["", ""]
    assert place.counts()["runs"] == 2
    assert place.counts()["metrics"] == 2 * (30 + 29)
    assert place.rows("select distinct status from runs") == [("FINISHED",)]
    assert place.rows("select count(*) from experiments where name = 'lossatlas'") == [(1,)]


def test_a_closed_port_is_a_line_on_stderr(tmp_path, capfd):
    options = {"uri": "http://127.0.0.1:9", "experiment": "lossatlas", "artifact_root": tmp_path / "artifacts"}
    curves = LiveCurves("train", "resnet20", "default", HASH, **options, delay=0.0, grace=20.0)
    begin = time.monotonic()
    for row in rows(range(5)):
        curves.on_epoch(row)
    assert time.monotonic() - begin < 0.5
    curves.close("finished")
    assert time.monotonic() - begin < 20
    text = capfd.readouterr().err
    assert text.startswith("warning: live curves of train/resnet20 stopped: cannot log to http://127.0.0.1:9")
    assert text.count("\n") == 1


def test_closing_waits_no_longer_than_its_grace(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("lossatlas.tracking.live.connect", lambda *_, **__: time.sleep(1.5))
    options = {"uri": "http://127.0.0.1:9", "experiment": "lossatlas", "artifact_root": tmp_path / "artifacts"}
    curves = LiveCurves("train", "resnet20", "default", HASH, **options, delay=0.0, grace=0.1)
    begin = time.monotonic()
    curves.close()
    assert time.monotonic() - begin < 1
    curves._thread.join()
    err = capfd.readouterr().err
    assert err == (
        "warning: live curves of train/resnet20 stopped: not done 0.1 s after the last epoch; "
        "the training goes on, track adds the rest\n"
    )


def test_a_row_without_epoch_is_a_warning(place, capfd):
    curves = live(place)
    curves.on_epoch({"train_loss": 1.0})
    curves.close()
    curves.on_epoch({"epoch": 1})
    assert "KeyError('epoch')" in capfd.readouterr().err


def test_a_short_training_is_left_to_track(place, capfd):
    curves = live(place, delay=60.0)
    curves.on_epoch(rows([0])[0])
    begin = time.monotonic()
    curves.close("finished")
    assert time.monotonic() - begin < 1
    assert place.counts()["runs"] == 0
    write_train(place.workspace)
    assert track(collect(place.workspace, "default", stages=STAGES), **place.options).created == ("train/resnet20",)
    assert capfd.readouterr().err == ""
