"""Databases that cannot be written, servers that are away or do not answer, and two writers at once."""

import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from lossatlas.paths import Workspace
from lossatlas.tracking import LiveCurves, TrackingError, collect, connection, track

from .cases import HASH, STAGES
from .place import Place

ROW = {"epoch": 0, "train_loss": 1.0}


def run_all(place):
    return track(collect(place.workspace, "default", stages=STAGES), **place.options)


def folder_in_its_place(path):
    path.unlink()
    path.mkdir()


def damaged(path):
    path.write_bytes(b"no database" * 1000)


def truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("harm", [folder_in_its_place, damaged, truncated])
def test_a_database_that_cannot_be_used_is_one_line(place, results, harm):
    path = place.workspace.tracking / "mlflow.db"
    harm(path)
    with pytest.raises(TrackingError, match=rf"cannot log to sqlite:///{path} .*check that file") as caught:
        run_all(place)
    assert "\n" not in str(caught.value)


def test_a_database_is_not_read_as_a_whole_to_be_opened(place, results, monkeypatch):
    statements = []
    plain = sqlite3.connect

    def traced(*arguments, **options):
        database = plain(*arguments, **options)
        database.set_trace_callback(statements.append)
        return database

    monkeypatch.setattr(connection.sqlite3, "connect", traced)
    connection._require_database(place.workspace.tracking / "mlflow.db")
    assert statements == ["select name from sqlite_master"]


def test_damage_within_a_database_is_one_line(place, results):
    run_all(place)
    path = place.workspace.tracking / "mlflow.db"
    ((page,),) = place.rows("select rootpage from sqlite_master where name = 'runs'")
    ((size,),) = place.rows("pragma page_size")
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"x" * size
    path.write_bytes(content)
    with pytest.raises(TrackingError, match=rf"cannot log to sqlite:///{path} .*malformed.*check that file") as caught:
        run_all(place)
    assert "\n" not in str(caught.value)


def test_a_file_in_the_place_of_its_folder_is_one_line(tmp_path):
    (tmp_path / "tracking").write_text("in the way")
    place = Place(Workspace(tmp_path))
    with pytest.raises(
        TrackingError, match=r"cannot log to sqlite:///.*tracking/mlflow.db .*check that file"
    ) as caught:
        track([], **place.options)
    assert "\n" not in str(caught.value)


def test_a_training_goes_on_beside_a_database_that_cannot_be_used(place, capfd):
    folder_in_its_place(place.workspace.tracking / "mlflow.db")
    curves = LiveCurves("train", "resnet20", "default", HASH, **place.options, delay=0.0, grace=60.0)
    curves.on_epoch(ROW)
    curves.close()
    err = capfd.readouterr().err
    assert err.startswith("warning: live curves of train/resnet20 stopped: cannot log to sqlite:///")
    assert err.count("\n") == 1 and err.endswith("the training goes on, track adds the rest\n")


def test_a_server_that_takes_connections_and_never_answers_stops_nothing(tmp_path, capfd):
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        options = {"uri": uri, "experiment": "lossatlas", "artifact_root": tmp_path / "artifacts"}
        curves = LiveCurves("train", "resnet20", "default", HASH, **options, delay=0.0, grace=0.5)
        begin = time.monotonic()
        for epoch in range(1000):
            curves.on_epoch(ROW | {"epoch": epoch})
        assert time.monotonic() - begin < 0.5
        curves.close("finished")
        assert time.monotonic() - begin < 3
    err = capfd.readouterr().err
    assert err == (
        "warning: live curves of train/resnet20 stopped: not done 0.5 s after the last epoch; "
        "the training goes on, track adds the rest\n"
    )


TRACK = """
import sys
from pathlib import Path
from lossatlas.paths import Workspace
from lossatlas.tracking import collect, default_artifact_root, default_uri, track
workspace = Workspace(Path(sys.argv[1]))
stages = [("data", "digits"), ("train", "resnet20"), ("plane", "resnet20-near")]
records = collect(workspace, "default", stages=stages)
place = {"uri": default_uri(workspace), "artifact_root": default_artifact_root(workspace)}
print(track(records, experiment="lossatlas", **place))
"""


def test_two_at_once_from_nothing_lose_and_double_no_row(place, results):
    """The database is not there: both migrate it, create the experiment and its runs."""
    (place.workspace.tracking / "mlflow.db").unlink()
    command = [sys.executable, "-c", TRACK, str(place.workspace.root)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen(command, **pipes) for _ in range(2)]
    ends = [job.communicate(timeout=120) for job in jobs]
    assert sorted(out for out, _ in ends) == [
        "0 created, 0 completed, 4 unchanged\n",
        "4 created, 0 completed, 0 unchanged\n",
    ]
    assert [err for _, err in ends] == ["", ""]
    assert place.counts()["runs"] == 4
    assert place.counts()["metrics"] == 5 * 5 + 4 + 1000 + 7 + 1 + 3
    assert place.rows("select count(*) from experiments where name = 'lossatlas'") == [(1,)]
    before = place.counts()
    assert len(run_all(place).unchanged) == 4 and place.counts() == before


def test_notes_with_markup_stay_text(place, results):
    from lossatlas.files import read_json, write_json

    path = place.workspace.artifacts("default", "train", "resnet20") / "run.json"
    write_json(path, read_json(path) | {"title": "<script>alert(1)</script>"})
    run_all(place)
    ((note,),) = place.rows("select value from tags where key = 'mlflow.note.content' and value like '%alert%'")
    assert "<" not in note and "&lt;script&gt;" in note
