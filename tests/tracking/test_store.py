import subprocess
import sys
import time

import pytest

from lossatlas.files import write_text
from lossatlas.tracking import TrackingError, collect, track
from lossatlas.tracking.connection import connect
from lossatlas.tracking.errors import explained, shown
from lossatlas.tracking.session import Point, Session

from .cases import STAGES, history, write_report, write_stage, write_train

BACKENDS = ("sqlite", "postgresql")
SUPERSEDED = "select t.value from tags t where t.key = 'lossatlas.superseded'"


def run_all(place):
    return track(collect(place.workspace, "default", stages=STAGES), **place.options)


def test_import_is_light():
    code = "import sys, lossatlas.tracking; print({'mlflow', 'numpy', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_everything_is_logged_once(place, results, capfd):
    summary = run_all(place)
    assert summary.created == ("data/digits", "train/resnet20", "plane/resnet20-near", "report/report")
    assert str(summary) == "4 created, 0 completed, 0 unchanged"
    before = place.counts()
    # 4 runs; 5 curves of 5 epochs, the learning rate without row 0, 1000 of 2500 steps; 7 + 1 + 3 single numbers
    assert before["runs"] == 4
    assert before["metrics"] == 5 * 5 + 4 + 1000 + 7 + 1 + 3
    assert before["params"] == 3 * 4
    assert before["files"] == 1 + 3 + 3 + 4
    again = run_all(place)
    assert again.unchanged == summary.created
    assert again.created == again.completed == ()
    assert place.counts() == before
    assert capfd.readouterr() == ("", "")


def test_runs_are_finished_with_the_times_of_their_side_file(place, results):
    run_all(place)
    assert place.rows("select distinct status from runs") == [("FINISHED",)]
    [(start, end)] = place.rows("select start_time, end_time from runs where name = 'train resnet20'")
    assert (start, end) == (1767323045000 - 12500, 1767323045000)


def test_steps_are_epochs_and_the_thinned_steps_keep_both_ends(place, results):
    run_all(place)
    assert place.rows("select step from metrics where key = 'train_loss' order by step") == [(i,) for i in range(5)]
    steps = [step for (step,) in place.rows("select step from metrics where key = 'step_weight_norm' order by step")]
    assert len(steps) == 1000
    assert (steps[0], steps[-1]) == (1, 2500)
    curve = history()
    assert place.rows("select value from metrics where key = 'test_error' and step = 4") == [(curve.test_error[4],)]


@pytest.mark.parametrize(
    "loss",
    [
        "delete from metrics where key = 'train_loss' and step = 2",
        "delete from metrics where key = 'step_weight_norm' and step > 1000",
        "delete from params where key = 'model.depth'",
        "delete from tags where key = 'lossatlas.family'",
        "update runs set status = 'RUNNING', end_time = null where name = 'train resnet20'",
    ],
)
def test_what_is_missing_is_filled_in(place, results, loss):
    run_all(place)
    before = place.counts()
    place.change(loss)
    assert "train/resnet20" in run_all(place).completed
    assert place.counts() == before
    assert place.rows("select distinct status from runs") == [("FINISHED",)]


def test_missing_and_truncated_artifacts_are_copied_again(place, results):
    run_all(place)
    gone, cut = (next(path for path in place.files() if path.name == name) for name in ("run.json", "plane.h5"))
    whole = cut.read_bytes()
    gone.unlink()
    cut.write_bytes(whole[:1])
    assert run_all(place).completed == ("train/resnet20", "plane/resnet20-near")
    assert gone.is_file()
    assert cut.read_bytes() == whole


def test_an_artifact_with_other_bytes_of_the_same_number_is_copied_again(place, results):
    run_all(place)
    before = place.counts()
    source = results.artifacts("default", "plane", "resnet20-near") / "plane.h5"
    for text in ("GRID", "grid"):
        write_text(source, text)
        assert run_all(place).completed == ("plane/resnet20-near",)
        (logged,) = (path for path in place.files() if path.name == "plane.h5")
        assert logged.read_text() == text
        assert run_all(place).completed == ()
    assert place.counts() == before


def test_artifacts_that_were_copied_half_way_are_copied_again(place, results, monkeypatch):
    run_all(place)
    folder = results.artifacts("default", "plane", "resnet20-near")
    plain, whole = Session.upload, {path.name: path.read_bytes() for path in folder.iterdir()}

    def upload(self, run_id, path, name):
        plain(self, run_id, path, name)
        raise KeyboardInterrupt

    for name, content in whole.items():
        (folder / name).write_bytes(content.swapcase() if name.endswith(".h5") else content)
    (folder / "another").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(Session, "upload", lambda *a: upload(*a) if a[2].name == "plane.h5" else plain(*a))
        with pytest.raises(KeyboardInterrupt):
            run_all(place)
    (folder / "another").unlink()
    (folder / "plane.h5").write_bytes(whole["plane.h5"])
    assert run_all(place).completed == ("plane/resnet20-near",)
    assert next(path for path in place.files() if path.name == "plane.h5").read_bytes() == whole["plane.h5"]


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"": 1}'])
def test_a_tag_of_contents_that_was_altered_is_made_anew(place, results, text):
    run_all(place)
    before = place.counts()
    place.change(f"update tags set value = '{text}' where key = 'lossatlas.content'")
    assert len(run_all(place).completed) == 4
    assert place.counts() == before
    assert len(run_all(place).unchanged) == 4


def test_a_run_left_half_way_is_completed(place, results):
    session = connect(**place.options)
    record = next(r for r in collect(results, "default", stages=STAGES) if r.kind == "train")
    run_id = session.create(record.tags).info.run_id
    session.log(
        run_id, metrics=[Point("train_loss", 2.3, 0), Point("result/parameters", 272474.0, 0)], params={"note": "null"}
    )
    assert "train/resnet20" in run_all(place).completed
    assert place.rows(f"select count(*) from metrics where run_uuid = '{run_id}'") == [(25 + 4 + 1000 + 7,)]
    assert place.rows(f"select status from runs where run_uuid = '{run_id}'") == [("FINISHED",)]
    assert place.counts()["runs"] == 4


def test_a_diverged_run_is_finished_and_tagged(place):
    write_train(place.workspace, status="diverged")
    run_all(place)
    assert place.rows("select value from tags where key = 'lossatlas.status'") == [("diverged",)]
    assert place.rows("select status from runs") == [("FINISHED",)]


def test_another_hash_supersedes_and_the_first_one_can_return(place):
    workspace = place.workspace
    write_stage(workspace, "data", "digits", stage_hash="1" * 64)
    write_stage(workspace, "data", "other", stage_hash="3" * 64)
    stages = [("data", "digits"), ("data", "other")]
    track(collect(workspace, "default", stages=stages), **place.options)
    assert place.rows(SUPERSEDED) == []
    write_stage(workspace, "data", "digits", stage_hash="2" * 64)
    summary = track(collect(workspace, "default", stages=stages), **place.options)
    assert (summary.created, summary.unchanged) == (("data/digits",), ("data/other",))
    query = SUPERSEDED.replace("t.value", "h.value").replace("where", "join tags h using (run_uuid) where")
    query += " and h.key = 'lossatlas.stage_hash'"
    assert place.rows(query) == [("1" * 64,)]
    write_stage(workspace, "data", "digits", stage_hash="1" * 64)
    assert track(collect(workspace, "default", stages=stages), **place.options).completed == ("data/digits",)
    assert place.rows(query) == [("2" * 64,)]


def test_a_new_report_supersedes_the_old_one_of_its_preset_only(place):
    for preset, text in (("default", "one"), ("default/modes", "one"), ("default", "two")):
        write_report(place.workspace, preset=preset, text=text)
        track(collect(place.workspace, preset, stages=()), **place.options)
    assert place.counts()["runs"] == 3
    assert place.rows(SUPERSEDED) == [("true",)]


@pytest.mark.parametrize("name", ["figures/surfaces/resnet20.png", "tables/errors.csv", "checks.json", "explorer.html"])
def test_every_file_of_the_report_is_part_of_its_identity(place, name):
    write_report(place.workspace)
    file = place.workspace.reports("default") / name
    write_text(file, "[]")
    track(collect(place.workspace, "default", stages=()), **place.options)
    write_text(file, "{}")
    assert track(collect(place.workspace, "default", stages=()), **place.options).created == ("report/report",)
    assert place.counts()["runs"] == 2 and place.rows(SUPERSEDED) == [("true",)]
    write_text(file, "[]")
    assert track(collect(place.workspace, "default", stages=()), **place.options).completed == ("report/report",)
    assert track(collect(place.workspace, "default", stages=()), **place.options).unchanged == ("report/report",)


def test_more_params_than_one_request_takes(place):
    write_stage(place.workspace, "data", "digits", settings={f"key{i}": i for i in range(250)})
    run_all(place)
    assert place.counts()["params"] == 250


def test_a_closed_port_is_one_line_and_soon(tmp_path):
    begin = time.monotonic()
    uri = "http://user:secret@127.0.0.1:9"
    with pytest.raises(TrackingError, match=r"cannot log to http://user:\*\*\*@127\.0\.0\.1:9 .*start that") as caught:
        track([], uri=uri, experiment="lossatlas", artifact_root=tmp_path / "artifacts")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("uri", ["", "mlruns", "sqlite://", "sqlite:///:memory:"])
def test_what_is_no_uri_is_refused(uri, tmp_path):
    with pytest.raises(TrackingError, match=r"is no tracking URI; give for example"):
        track([], uri=uri, experiment="lossatlas", artifact_root=tmp_path / "artifacts")


def test_a_moved_checkout_is_noticed(place):
    connect(**place.options)
    place.options["artifact_root"].rename(place.workspace.tracking / "elsewhere")
    with pytest.raises(TrackingError, match=r"keeps its artifacts in .* which is gone"):
        run_all(place)


def test_a_deleted_experiment_is_named(place):
    session = connect(**place.options)
    session.client.delete_experiment(session.experiment_id)
    with pytest.raises(TrackingError, match=r"'lossatlas' was deleted; `mlflow experiments restore -x"):
        run_all(place)


def test_errors_of_the_program_itself_stay_as_they_are():
    with pytest.raises(KeyError), explained("sqlite:///x"):
        raise KeyError("x")


def test_passwords_are_not_shown():
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown("postgresql://me:se@c/r:t@host/db") == "postgresql://me:***@host/db"
    assert shown("postgresql://host/db?user=me&password=secret&x=1") == "postgresql://host/db?user=me&password=***&x=1"
    assert shown("sqlite:////tmp/a.db") == "sqlite:////tmp/a.db"
