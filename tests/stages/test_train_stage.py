"""Trainings through the stage runner and the command line, in small workspaces of their own."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lossatlas.config import write_params
from lossatlas.files import sha256_path, write_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.paths import Workspace
from lossatlas.results import History, Plane
from lossatlas.stages.runner import Runner
from lossatlas.stages.times import stage_seconds, times_table

REPOSITORY = Path(__file__).parents[2]
TINY = (
    "preset=smoke",
    "tracking.live=false",
    "sizes.batch_size=32",
    "sizes.epochs=2",
    "datasets.digits.train=64",
    "datasets.digits.test=32",
    "runs.resnet20.model.options.depth=8",
    "runs.resnet20.model.options.base_width=2",
    "sizes.train_examples=16",
    "sizes.test_examples=16",
)
TRAIN = ("train", "resnet20")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Each workspace has its own scratch."""
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)


class Place:
    """A workspace with the settings and the data set of one training."""

    def __init__(self, root, *overrides):
        self.workspace = Workspace(root)
        root.mkdir()
        (root / "dvc.yaml").touch()
        shutil.copytree(REPOSITORY / "conf", self.workspace.conf)
        self.params = write_params(self.workspace, [*TINY, *overrides])

    def publish(self, key):
        return Runner(self.workspace, self.params).publish(key)

    @property
    def published(self):
        return self.workspace.artifacts("smoke", *TRAIN)

    def scratch(self):
        """The training's folder in scratch."""
        (folder,) = (path for path in (self.workspace.scratch / "stages" / "train").iterdir() if path.is_dir())
        return folder

    def files(self):
        """Everything that the training published, by place."""
        reports = self.workspace.reports("smoke")
        found = {path.relative_to(self.published).as_posix(): path for path in self.published.rglob("*")}
        found |= {f"reports/{kind}": reports / kind / f"resnet20.{end}" for kind, end in SHOWN}
        return {name: path.read_bytes() for name, path in found.items()}

    def start(self, setup=""):
        """Start `lossatlas stage` in a process group of its own, after the statements `setup`."""
        program = f"{setup}\nfrom lossatlas.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, "stage", *TRAIN],
            cwd=self.workspace.root,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


SHOWN = (("metrics", "json"), ("curves", "csv"))


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "one")
    made.publish(("data", "digits"))
    return made


def test_a_training_publishes_weights_curves_and_what_they_are(place):
    outcome = place.publish(TRAIN)
    assert outcome.computed and outcome.key == TRAIN
    files = place.files()
    assert sorted(files) == [
        "curves.csv",
        "epoch_0000.safetensors",
        "epoch_0001.safetensors",
        "final.safetensors",
        "history.h5",
        "metrics.json",
        "reports/curves",
        "reports/metrics",
        "run.json",
        "stage.json",
        "weights.h5",
    ]
    assert files["reports/curves"] == files["curves.csv"] and files["reports/metrics"] == files["metrics.json"]
    history = History.load(place.published / "history.h5")
    assert history.status == "finished" and history.epoch.tolist() == [0, 1, 2] and len(history.step) == 4
    rows = list(csv.DictReader(files["curves.csv"].decode().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name in ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], getattr(history, name))
    metrics, run, stage = (json.loads(files[f"{name}.json"]) for name in ("metrics", "run", "stage"))
    final = {name: getattr(history, name)[-1] for name in ("train_loss", "train_error", "test_loss", "test_error")}
    weights = load_checkpoint(place.published / "final.safetensors")
    count = sum(parameter.numel() for parameter in weights.build().parameters())
    assert metrics == {**final, "parameters": count, "status": "finished"}
    assert (run["status"], run["note"], run["final"], run["steps"]) == ("finished", "", final, 4)
    assert (run["run"], run["family"], run["options"]["depth"]) == ("resnet20", "resnet", 8)
    assert (run["weights_hash"], weights.epoch) == (weights.weights_hash, 2)
    start = load_checkpoint(place.published / "epoch_0000.safetensors")
    assert (start.epoch, history.provenance["weights"]) == (0, start.weights_hash)
    assert stage["stage_hash"] == outcome.stage_hash
    side = json.loads(place.workspace.side("smoke", *TRAIN).read_text())
    assert len(side["epoch_seconds"]) == 3
    assert not (place.scratch() / "work").exists()


def test_a_finished_training_is_found_again(place):
    assert place.publish(TRAIN).computed
    before = place.files()
    shutil.rmtree(place.published)  # as DVC does
    outcome = place.publish(TRAIN)
    assert not outcome.computed and place.files() == before


def test_another_workspace_gives_the_same_bytes(place, tmp_path):
    place.publish(TRAIN)
    other = Place(tmp_path / "two")
    for key in (("data", "digits"), TRAIN):
        other.publish(key)
    assert other.files() == place.files()


@pytest.mark.parametrize("change", ["altered", "removed", "added"])
def test_an_output_altered_in_scratch_is_computed_again(place, capsys, change):
    place.publish(TRAIN)
    before = place.files()
    out = place.scratch() / "out"
    if change == "altered":
        content = bytearray((out / "final.safetensors").read_bytes())
        content[-1] ^= 1
        (out / "final.safetensors").write_bytes(content)
    elif change == "removed":
        (out / "epoch_0001.safetensors").unlink()
    else:
        (out / "notes.txt").write_text("mine")
    assert place.publish(TRAIN).computed
    assert "was altered after it was finished; it is computed again" in capsys.readouterr().err
    assert place.files() == before


def test_an_output_altered_beside_the_state_of_its_training_is_computed_again(place, monkeypatch):
    def killed(folder, **_):
        raise KeyboardInterrupt(folder)

    with monkeypatch.context() as patch:  # between the mark of completion and the removal of the unfinished work
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt, match="work"):
            place.publish(TRAIN)
    assert (place.scratch() / "work" / "state.pt").is_file()
    assert not place.publish(TRAIN).computed
    before = place.files()
    (place.scratch() / "out" / "epoch_0001.safetensors").unlink()
    assert place.publish(TRAIN).computed
    assert place.files() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_the_time_of_attempts_that_were_stopped_counts(place, monkeypatch, error):
    def stopped(job):
        time.sleep(0.3)
        raise error(job.name)

    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(error, match="resnet20"):
            patch.setattr("lossatlas.stages.train.compute", stopped)
            place.publish(TRAIN)
    assert 0.6 <= json.loads((place.scratch() / "seconds.json").read_text()) < 60
    assert place.publish(TRAIN).computed
    assert stage_seconds(place.workspace, place.params)[TRAIN] > 0.6
    assert not (place.scratch() / "seconds.json").exists()


def test_the_time_of_a_result_that_was_altered_does_not_count(place):
    place.publish(TRAIN)
    write_json(place.scratch() / "seconds.json", 1000.0)  # killed before it was removed
    (place.scratch() / "out" / "run.json").unlink()
    assert place.publish(TRAIN).computed
    assert stage_seconds(place.workspace, place.params)[TRAIN] < 500


def test_a_damaged_clock_is_none(place):
    folder = Path(Runner(place.workspace, place.params).scratch(TRAIN))
    folder.mkdir(parents=True)
    (folder / "seconds.json").write_text("[12")
    assert place.publish(TRAIN).computed
    assert stage_seconds(place.workspace, place.params)[TRAIN] > 0


def test_of_a_killed_training_the_epochs_that_it_kept_count(place):
    place.publish(TRAIN)
    side = place.workspace.side("smoke", *TRAIN)
    facts = json.loads(side.read_text())
    write_json(side, facts | {"epoch_seconds": [500.0, 400.0, 100.0]})
    assert stage_seconds(place.workspace, place.params)[TRAIN] == 1000.0
    assert "| train resnet20 | 1000.0 |" in times_table(place.workspace, place.params)


def kill_at(place, moment):
    """Run the stage in a process group and kill it as soon as its state file says so."""
    process = place.start()
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            states = list((place.workspace.scratch / "stages" / "train").rglob("state.pt"))
            if states and moment(torch.load(states[0], weights_only=True)["progress"]):
                break
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return ended(process)


# a kill just before a file that is written gets its name
HALF = """
import os, signal
plain = os.replace
def replace(source, target):
    if os.path.basename(target) == "{name}":
        os.kill(os.getpid(), signal.SIGKILL)
    plain(source, target)
os.replace = replace
"""


LONG = ("sizes.epochs=25", "datasets.digits.train=512", "runs.resnet20.train.checkpoints=[1,2,20]")


@pytest.mark.parametrize("name", ["final.safetensors", "history.h5"])
def test_killed_while_it_writes_its_results(place, name):
    killed = ended(place.start(setup=HALF.format(name=name)))
    assert killed[0] == -signal.SIGKILL, killed
    assert any(path.name.endswith(".part") for path in (place.scratch() / "out").iterdir())
    assert place.publish(TRAIN).computed
    assert not [name for name in place.files() if name.startswith(".")]
    assert sha256_path(place.published) == sha256_path(place.scratch() / "out")


def test_killed_in_the_middle_and_started_again(tmp_path):
    one, other = (Place(tmp_path / name, *LONG) for name in ("one", "two"))
    for each in (one, other):
        each.publish(("data", "digits"))
    assert one.publish(TRAIN).computed
    code, _, _ = kill_at(other, lambda progress: progress["epoch"] >= 1)
    assert code == -signal.SIGKILL
    assert not other.published.exists() and not (other.scratch() / "done.json").exists()
    state = torch.load(other.scratch() / "work" / "state.pt", weights_only=True)
    assert 1 <= state["progress"]["epoch"] < 25
    code, out, err = ended(other.start())
    assert code == 0 and out.startswith("train resnet20: computed in ") and not err
    assert other.files() == one.files()


def test_two_processes_at_once(place):
    processes = [place.start() for _ in range(2)]
    results = [ended(process) for process in processes]
    assert [code for code, _, _ in results] == [0, 0], results
    assert sorted(out.split(":")[1].split()[0] for _, out, _ in results) == ["computed", "finished"]
    assert sum("waiting for another process" in err for _, _, err in results) <= 1
    assert sorted(path.name for path in place.published.parent.iterdir()) == ["resnet20"]


def test_an_input_that_is_missing_is_one_line(tmp_path):
    code, out, err = ended(Place(tmp_path / "empty").start())
    assert (code, out) == (2, "")
    assert err == (
        "lossatlas: stage train resnet20 needs the output of stage data digits, which is not there; "
        "run `dvc repro` or `lossatlas stage data digits`\n"
    )


def test_a_damaged_state_is_one_line_that_says_what_to_do(place):
    place.publish(TRAIN)
    folder = place.scratch()
    (folder / "done.json").unlink()
    (folder / "work").mkdir()
    (folder / "work" / "state.pt").write_bytes(b"PK\x03\x04 half")
    code, _, err = ended(place.start())
    assert code == 2 and err.count("\n") == 1
    assert err.startswith(f"lossatlas: the training state {folder / 'work' / 'state.pt'} is damaged (")
    assert err.endswith("; delete it to train from the start\n")


def test_a_diverged_training_is_published_and_its_plane_is_masked(tmp_path):
    place = Place(tmp_path / "wild", "runs.resnet20.train.lr=1e12", "sizes.epochs=4")
    for key in (("data", "digits"), TRAIN, ("plane", "resnet20")):
        assert place.publish(key).computed
    run = json.loads((place.published / "run.json").read_text())
    history = History.load(place.published / "history.h5")
    assert run["status"] == history.status == "diverged"
    assert run["note"] == history.note and history.note.startswith("epoch ")
    assert set(run["final"].values()) == {None}
    assert json.loads((place.published / "metrics.json").read_text())["status"] == "diverged"
    folder = place.workspace.artifacts("smoke", "plane", "resnet20")
    plane = Plane.load(folder / "plane.h5")
    assert plane.train_loss.shape == (5, 5) and np.isnan(plane.train_loss).all()
    assert not plane.computed.any()
    assert plane.note == f"the run diverged ({history.note})"
    about = json.loads((folder / "plane.json").read_text())
    assert (about["status"], about["reason"], about["center_train_loss"]) == ("skipped", plane.note, None)
    assert not place.publish(TRAIN).computed


def test_no_epochs_publish_the_initialization(tmp_path):
    place = Place(
        tmp_path / "none",
        "runs.resnet20.train.epochs=0",
        "runs.resnet20.train.checkpoints=[]",
        "planes.resnet20_epoch1.epoch=null",
    )
    for key in (("data", "digits"), TRAIN):
        place.publish(key)
    assert not list(place.published.glob("epoch_*"))
    history = History.load(place.published / "history.h5")
    weights = load_checkpoint(place.published / "final.safetensors")
    assert len(history.epoch) == 1 and weights.epoch == 0
    assert weights.weights_hash == history.provenance["weights"]
    assert json.loads((place.published / "run.json").read_text())["final"]["train_loss"] == history.train_loss[0]
