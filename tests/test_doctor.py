"""The doctor on installations that are whole, and on those in which one thing is broken."""

import fcntl
import json
import shutil
import socket
import sqlite3
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lossatlas.cli import app
from lossatlas.config import compose
from lossatlas.doctor import examine, machine
from lossatlas.paths import Workspace

ROOT = Path(__file__).parents[1]
KEPT = ("pyproject.toml", "constraints.txt", "dvc.yaml", ".dvc/config")


@pytest.fixture(scope="module")
def settings():
    return compose(ROOT / "conf", ["preset=smoke"])[1]


@pytest.fixture
def place(tmp_path, settings, monkeypatch):
    """A whole installation of this package."""
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    for name in KEPT:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "params.yaml").write_text(settings)
    (tmp_path / "src").symlink_to(ROOT / "src")
    return tmp_path


def found(place):
    return {finding.subject: finding for finding in examine(Workspace(place))}


def change(place, **values):
    params = yaml.safe_load((place / "params.yaml").read_text())
    (place / "params.yaml").write_text(yaml.safe_dump(params | values))


def test_a_whole_installation_has_no_problem(place):
    begin = time.process_time()
    findings = found(place)
    assert time.process_time() - begin < 5
    assert [str(finding) for finding in findings.values() if finding.verdict == "problem"] == []
    assert str(findings["dvc.lock"]) == (
        "note     dvc.lock: is not there: nothing was run; run `make reproduce` or `dvc repro`"
    )
    assert findings["tracking"].text.endswith("mlflow.db is made on first use")
    assert not (place / "tracking").exists() and not (place / ".lossatlas").exists()


def test_the_command_prints_a_line_each_and_fails_with_a_problem(place, monkeypatch):
    monkeypatch.chdir(place)
    good = CliRunner().invoke(app, ["doctor"])
    assert good.exit_code == 0 and good.stdout.count("\n") == len(found(place))
    (place / "reports").write_text("no folder")
    bad = CliRunner().invoke(app, ["doctor"])
    assert bad.exit_code == 1
    assert f"problem  folder reports: {place / 'reports'} is no folder; move it away" in bad.stdout.splitlines()


def images(place):
    (place / "images/train/a").mkdir(parents=True)


def data(kind, root):
    return lambda place: change(place, datasets={"digits": {"kind": kind, "root": root}})


def database(content):
    def write(place):
        (place / "tracking").mkdir()
        (place / "tracking/mlflow.db").write_bytes(content)

    return write


def foreign(place):
    (place / "tracking").mkdir()
    with sqlite3.connect(place / "tracking/mlflow.db") as connection:
        connection.execute("create table something (x)")
    connection.close()


def write(name, content):
    def act(place):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)

    return act


def edit(name, old, new):
    return lambda place: (place / name).write_text((place / name).read_text().replace(old, new))


GONE = json.dumps({"/a": {"read": [], "write": {"pid": 2**22 + 1, "cmd": "dvc repro"}}})
# what is broken: verdict, subject, words of the line
BROKEN = {
    "another python": (edit("pyproject.toml", ">=3.11,<3.14", ">=3.40"), "problem", "python", ["is not >=3.40"]),
    "no project file": (lambda place: (place / "pyproject.toml").unlink(), "note", "python", ["restore that file"]),
    "another version": (edit("constraints.txt", "h5py==", "h5py==0."), "note", "libraries", ["h5py", "make install"]),
    "a missing library": (edit("pyproject.toml", '"h5py"', '"h5py-not-there"'), "problem", "libraries", ["not-there"]),
    "no constraints": (lambda place: (place / "constraints.txt").unlink(), "problem", "libraries", ["restore"]),
    "another checkout": (lambda place: (place / "src").unlink(), "problem", "package", ["make install"]),
    "no settings": (lambda place: (place / "params.yaml").unlink(), "problem", "settings", ["lossatlas compose"]),
    "wrong settings": (lambda place: change(place, seed=-1), "problem", "settings", ["seed", "greater than"]),
    "a GPU that is not there": (
        lambda place: change(place, device="cuda:63"),
        "problem",
        "device",
        ["cuda:63 is not here", "compose device=cpu"],
    ),
    "more workers than cores": (
        lambda place: change(place, executor={"kind": "processes", "workers": 4096}),
        "note",
        "threads",
        ["4096"],
    ),
    "no images": (data("imagefolder", "gone"), "problem", "data digits", ["gone/train is no folder", "digits.root="]),
    "no root": (data("imagefolder", None), "problem", "data digits", ["needs a root"]),
    "an empty split": (
        lambda place: (images(place), data("imagefolder", "images")(place)),
        "problem",
        "data digits",
        ["images/train has no images", "expected"],
    ),
    "data to download": (data("cifar10", "data"), "note", "data digits", ["downloaded on first use", "tar.gz"]),
    "a file as scratch": (write(".lossatlas", ""), "problem", "folder .lossatlas", ["is no folder; move it away"]),
    "no database": (
        database(b"no database at all" * 100),
        "problem",
        "tracking",
        ["cannot be written", "move it away"],
    ),
    "another database": (foreign, "problem", "tracking", ["is no MLflow database", "set tracking.uri"]),
    "a server that is away": (
        lambda place: change(place, tracking={"uri": "http://u:pw@127.0.0.1:9", "experiment": "x", "live": True}),
        "problem",
        "tracking",
        ["http://u:***@127.0.0.1:9 does not answer", "start that server"],
    ),
    "a database server that is away": (
        lambda place: change(place, tracking={"uri": "postgresql://127.0.0.1:9/x", "experiment": "x", "live": True}),
        "problem",
        "tracking",
        ["postgresql://127.0.0.1:9/x does not answer"],
    ),
    "no repository of DVC": (lambda place: shutil.rmtree(place / ".dvc"), "problem", "dvc", ["restore it from git"]),
    "links to the cache": (edit(".dvc/config", "reflink,copy", "symlink"), "note", "dvc cache", ["use reflink,copy"]),
    "a conflict in the lock": (
        write("dvc.lock", "<<<<<<< HEAD\nstages: {"),
        "problem",
        "dvc.lock",
        ["cannot be read", "restore it from git"],
    ),
    "a lock of nothing": (
        write("dvc.lock", "stages: {}"),
        "note",
        "dvc.lock",
        ["lacks ", " stages (check, ...)", "dvc repro"],
    ),
    "a lock whose owner is gone": (
        write(".dvc/tmp/rwlock", GONE),
        "problem",
        "dvc locks",
        [f"names process {2**22 + 1}, which is gone; delete that file"],
    ),
    "a table of locks that is damaged": (write(".dvc/tmp/rwlock", "{"), "problem", "dvc locks", ["delete it"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_a_line(place, name):
    act, verdict, subject, words = BROKEN[name]
    act(place)
    finding = found(place)[subject]
    line = str(finding)
    assert finding.verdict == verdict and line.startswith(f"{verdict:8} {subject}: "), line
    assert "\n" not in line and all(word in line for word in words), line


def test_a_lock_in_step_and_one_that_is_not(place):
    from lossatlas.doctor.dvc import _planned

    stages = yaml.safe_load((place / "dvc.yaml").read_text())["stages"]
    planned = _planned(stages, yaml.safe_load((place / "params.yaml").read_text()))
    lock = {name: {"deps": [{"path": path, "md5": "0"} for path in paths]} for name, paths in planned.items()}
    write("dvc.lock", yaml.safe_dump({"stages": lock}))(place)
    assert str(found(place)["dvc.lock"]) == f"ok       dvc.lock: in step with dvc.yaml ({len(planned)} stages)"
    write("artifacts/plans/smoke/stages/line.json", "{}")(place)
    assert "1 stages have another plan than when they ran (line, ...)" in found(place)["dvc.lock"].text
    lock["line"]["deps"].pop()
    write("dvc.lock", yaml.safe_dump({"stages": lock}))(place)
    assert "1 stages have other dependencies in dvc.yaml (line, ...)" in found(place)["dvc.lock"].text
    write("dvc.lock", yaml.safe_dump({"stages": lock | {"gone": {}}}))(place)
    assert "has 1 stages that are not planned (gone, ...)" in found(place)["dvc.lock"].text


def test_a_disk_without_room_or_not_for_writing(place, monkeypatch):
    from lossatlas.doctor import places

    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    assert str(found(place)["folder artifacts"]) == "problem  folder artifacts: writable, 0.0 GiB free; make room"

    def full(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(places.tempfile, "TemporaryFile", full)
    assert "cannot write in" in found(place)["folder artifacts"].text


def test_dvc_that_is_running_and_a_database_that_is_held(place):
    (place / ".dvc/tmp").mkdir()
    foreign(place)
    holder = sqlite3.connect(place / "tracking/mlflow.db", isolation_level=None)
    with (place / ".dvc/tmp/lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        holder.execute("begin exclusive")
        findings = found(place)
    holder.close()
    assert "is held: DVC is running; wait for it" in str(findings["dvc locks"])
    assert findings["tracking"].verdict == "note" and "wait for the process that holds it" in str(findings["tracking"])


def test_a_server_that_answers(place):
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"mysql://127.0.0.1:{server.getsockname()[1]}/x"
        change(place, tracking={"uri": uri, "experiment": "x", "live": True})
        assert str(found(place)["tracking"]) == f"ok       tracking: {uri} answers"


def test_idle_gpus_are_noted(monkeypatch):
    monkeypatch.setattr(machine.Path, "glob", lambda *_: iter(["one"]))
    assert machine.device("cpu").verdict == "note"
