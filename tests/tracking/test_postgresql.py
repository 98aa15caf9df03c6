"""A tracking database on a real PostgreSQL server: two clients at once, wrong addresses, a connection that breaks."""

import subprocess
import sys
import time

import pytest

from lossatlas.doctor import database as doctor
from lossatlas.paths import Workspace
from lossatlas.settings.preset import TrackingSettings
from lossatlas.tracking import LiveCurves, TrackingError, collect, connection, live, track

from .cases import HASH, STAGES, write_report, write_stage, write_train
from .place import Place
from .postgresql import QUOTED
from .test_live import SCRIPT

BACKENDS = ("postgresql",)
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
# two machines with a database in common have no lock files in common
TRACK = """
import sys
from pathlib import Path
from lossatlas.paths import Workspace
from lossatlas.tracking import collect, default_artifact_root, track
workspace = Workspace(Path(sys.argv[1]))
stages = [("data", "digits"), ("train", "resnet20"), ("plane", "resnet20-near")]
records = collect(workspace, "default", stages=stages)
print(track(records, experiment="lossatlas", uri=sys.argv[2], artifact_root=default_artifact_root(workspace)))
"""


@pytest.fixture
def empty(postgresql, tmp_path):
    """A database without tables."""
    name = f"empty_{tmp_path.name}"
    postgresql.create(name, empty=True)
    return Place(Workspace(tmp_path), postgresql, name)


def publish(workspace):
    write_stage(workspace, "data", "digits")
    write_train(workspace)
    write_stage(workspace, "plane", "resnet20-near")
    write_report(workspace)


def test_two_at_once_from_nothing_lose_and_double_no_row(empty, tmp_path):
    """Both find no tables and no experiment; one migrates, and the other finds all that it would have logged."""
    commands = []
    for name in ("here", "there"):
        publish(Workspace(tmp_path / name))
        commands.append([sys.executable, "-c", TRACK, str(tmp_path / name), empty.options["uri"]])
    jobs = [subprocess.Popen(command, **PIPES) for command in commands]
    ends = [job.communicate(timeout=200) for job in jobs]
    assert [err for _, err in ends] == ["", ""]
    assert sorted(out for out, _ in ends) == [
        "0 created, 0 completed, 4 unchanged\n",
        "4 created, 0 completed, 0 unchanged\n",
    ]
    assert empty.rows("select count(*) from experiments where name = 'lossatlas'") == [(1,)]
    assert empty.rows("select count(*) from runs") == [(4,)]
    assert empty.rows("select count(*) from metrics") == [(5 * 5 + 4 + 1000 + 6 + 3,)]


def test_two_trainings_log_at_once(place, tmp_path):
    command = [sys.executable, "-c", SCRIPT, place.options["uri"]]
    names = ("vggnet-9", "vggnet16")
    jobs = [subprocess.Popen([*command, str(tmp_path / name / "artifacts"), name, "30"], **PIPES) for name in names]
    assert [job.communicate(timeout=200) for job in jobs] == [("", "")] * 2
    assert place.rows("select count(*) from metrics") == [(2 * (30 + 29),)]
    assert place.rows("select distinct status from runs") == [("FINISHED",)]


def test_a_connection_that_breaks_loses_and_doubles_no_row(place, monkeypatch, capfd):
    """Once with a row under way, once between two rows."""
    monkeypatch.setattr(live, "RETRY", 0.1)
    curves = LiveCurves("train", "resnet20", "default", HASH, **place.options, delay=0.0, grace=60.0)
    for epoch in range(30):
        curves.on_epoch({"epoch": epoch, "train_loss": 1.0 / (epoch + 1)})
        if epoch in (10, 20):
            _until(lambda: place.rows("select count(*) from metrics")[0][0])
            place.server.execute(
                "postgres",
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{place.name}'",
            )
            time.sleep(0.2)
    curves.close()
    assert place.rows("select step from metrics order by step") == [(epoch,) for epoch in range(30)]
    assert place.rows("select status from runs") == [("FINISHED",)]
    err = capfd.readouterr().err
    assert err.count("stopped") == err.count("go on\n") and QUOTED not in err


def _until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _doctor(params, uri):
    class Params:
        tracking = TrackingSettings(uri=uri, experiment="lossatlas", live=True)

    return doctor.tracking(params, Params)


def test_the_doctor_looks_at_the_database(place, empty):
    uri = place.options["uri"]
    found = _doctor(place.workspace, uri)
    assert found.verdict == "ok" and found.text.endswith(" can be written") and QUOTED not in str(found)
    assert place.rows("select count(*) from pg_tables where tablename = 'lossatlas_doctor'") == [(0,)]
    found = _doctor(place.workspace, empty.options["uri"])
    assert found.verdict == "ok" and found.text.endswith("is empty, and filled on first use")
    empty.change("create table other (x int)")
    found = _doctor(place.workspace, empty.options["uri"])
    assert found.verdict == "problem" and "is no MLflow database" in found.text
    for wrong in (place.server.uri(place.name, "wr0ng"), place.server.uri("nowhere")):
        found = _doctor(place.workspace, wrong)
        assert found.verdict == "problem" and "cannot be written" in found.text and "password" in found.remedy
        assert "wr0ng" not in str(found) and QUOTED not in str(found)


def test_a_database_that_may_only_be_read_is_a_problem(place):
    place.change(f'alter database "{place.name}" set default_transaction_read_only = on')
    found = _doctor(place.workspace, place.options["uri"])
    assert found.verdict == "problem" and "read-only transaction" in found.text
    publish(place.workspace)
    with pytest.raises(TrackingError, match=r"read-only transaction.*check that file or server") as caught:
        track(collect(place.workspace, "default", stages=STAGES), **place.options)
    assert "\n" not in str(caught.value) and QUOTED not in str(caught.value)


@pytest.mark.parametrize(("password", "name"), [("wr0ng", None), (QUOTED, "nowhere")])
def test_what_cannot_be_opened_is_one_line_without_a_password(place, password, name):
    uri = place.server.uri(name or place.name, password)
    with pytest.raises(TrackingError, match=r"cannot log to postgresql\+psycopg://lossatlas:\*\*\*@127") as caught:
        track([], **place.options | {"uri": uri})
    assert "\n" not in str(caught.value) and password not in str(caught.value)


def test_a_driver_that_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "find_spec", lambda name: None)
    with pytest.raises(
        TrackingError, match=r"///x needs the package psycopg, which is not .*pip install \"lossatlas\[p"
    ):
        track([], uri="postgresql+psycopg:///x", experiment="x", artifact_root=tmp_path / "artifacts")
    with pytest.raises(TrackingError, match=r"needs the package psycopg2, .* and name postgresql\+psycopg://"):
        track([], uri="postgresql://127.0.0.1/x", experiment="x", artifact_root=tmp_path / "artifacts")
