"""Stages computed on a machine without settings, DVC and MLflow, and taken in at home."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.files import read_json, sha256_path
from lossatlas.paths import Workspace
from lossatlas.stages import away
from lossatlas.stages.adopt import adopt
from lossatlas.stages.bundle import pack
from lossatlas.stages.runner import Runner

ROOT = Path(__file__).parents[2]
SMALL = ["preset=smoke", "runs.resnet20.train.epochs=1", "planes.resnet20.x.points=3", "planes.resnet20.y.points=3"]
KEYS = [("plane", "resnet20"), ("train", "resnet20")]
# what a machine for computing need not have
TOOLS = (
    "hydra",
    "omegaconf",
    "dvc",
    "mlflow",
    "dask",
    "distributed",
    "pydantic",
    "typer",
    "jinja2",
    "yaml",
    "torchvision",
)
BARE = "import sys; sys.modules |= dict.fromkeys({tools!r}); from lossatlas.stages.away import main; sys.exit(main())"


def settings(overrides=SMALL):
    return compose(ROOT / "conf", list(overrides))[0]


def command(*words):
    return [sys.executable, "-c", BARE.format(tools=TOOLS), *map(str, words)]


def packed(folder, overrides=SMALL, keys=KEYS):
    pack(Workspace(folder / "home"), settings(overrides), folder / "carried", keys)
    return folder / "carried"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of results that a bare interpreter computed."""
    folder = packed(tmp_path_factory.mktemp("away"))
    # all cores, if the command let them
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command(folder), cwd=folder.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    keys = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert keys == ["data digits", "train resnet20", "plane resnet20"]
    return folder


def taken(workspace, results, overrides=SMALL):
    lines = []
    adopt(workspace, settings(overrides), results, tell=lines.append)
    return lines


def test_what_a_bare_machine_computed_is_published_as_if_computed_here(results, tmp_path):
    home, elsewhere = Workspace(tmp_path / "home"), Workspace(tmp_path / "elsewhere")
    assert [line.split(" (")[0] for line in taken(home, results)] == [
        "train resnet20: adopted",
        "plane resnet20: adopted",
    ]
    for key in [("data", "digits"), *reversed(KEYS)]:
        outcome = Runner(home, settings()).publish(key)
        assert outcome.computed is False
        Runner(elsewhere, settings()).publish(key)  # the same versions compute the same bytes
        assert sha256_path(home.artifacts("smoke", *key)) == sha256_path(elsewhere.artifacts("smoke", *key))
    assert taken(home, results) == ["train resnet20: there already", "plane resnet20: there already"]


def test_other_versions_of_libraries_are_taken_and_kept(results, tmp_path, monkeypatch):
    home = Workspace(tmp_path)
    monkeypatch.setattr("lossatlas.stages.task.version", lambda name: "99.0")
    taken(home, results)
    for key in [("data", "digits"), *reversed(KEYS)]:
        Runner(home, settings()).publish(key)
    versions = read_json(home.artifacts("smoke", "plane", "resnet20") / "stage.json")["versions"]
    assert versions == read_json(results / "plane" / "resnet20" / "out" / "stage.json")["versions"]
    assert "99.0" not in versions.values()


def test_results_of_other_settings_are_refused_with_both(results, tmp_path):
    other = [*SMALL, "runs.resnet20.seed=7"]
    with pytest.raises(ValueError, match=r"train/resnet20 has other settings .*run: seed: 0 there, 7 here"):
        taken(Workspace(tmp_path), results, other)


@pytest.mark.parametrize(
    "file", ["train/resnet20/out/final.safetensors", "plane/resnet20/out/plane.h5", "train/resnet20/done.json"]
)
def test_results_that_were_altered_on_the_way_are_refused(results, tmp_path, file):
    carried = tmp_path / "carried"
    shutil.copytree(results, carried)
    content = bytearray((carried / file).read_bytes())
    content[len(content) // 2] ^= 1
    (carried / file).write_bytes(content)
    name = "/".join(file.split("/")[:2])
    with pytest.raises(ValueError, match=rf"{name} is truncated or altered; carry it over again"):
        taken(Workspace(tmp_path / "home"), carried)


def test_a_study_without_its_training_is_refused(results, tmp_path):
    carried = tmp_path / "carried"
    shutil.copytree(results, carried)
    shutil.rmtree(carried / "train")
    with pytest.raises(ValueError, match=r"was computed from train resnet20, which is not in scratch; carry it too"):
        taken(Workspace(tmp_path / "home"), carried)


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no complete stage of preset smoke"):
        taken(Workspace(tmp_path), tmp_path)


def test_stages_that_show_results_are_made_at_home(tmp_path):
    with pytest.raises(ValueError, match="report all cannot be computed elsewhere; kinds that can: data, train"):
        pack(Workspace(tmp_path), settings(), tmp_path / "carried", [("report", "all")])


def test_what_is_complete_at_home_travels_only_where_it_is_needed(results, tmp_path):
    home, carried = Workspace(tmp_path / "home"), tmp_path / "carried"
    shutil.copytree(results, carried)
    adopt(home, settings(), carried, tell=lambda line: None)
    more = [*SMALL, "+landscape@planes.second=plane", "planes.second.run=resnet20", "planes.second.seed=5"]
    assert pack(home, settings(more), carried)[:1] == [("data", "digits")]
    assert not (carried / "plane" / "resnet20").exists()
    assert pack(home, settings(more), carried, [("plane", "second")]) == [("data", "digits"), ("plane", "second")]
    assert away.complete(carried, tell=lambda line: None) == []
    assert sha256_path(carried / "train" / "resnet20" / "out") == sha256_path(results / "train" / "resnet20" / "out")
    assert taken(home, carried, more)[-1].startswith("plane second: adopted")


def test_results_that_were_not_adopted_are_never_removed(results, tmp_path):
    carried = tmp_path / "carried"
    shutil.copytree(results, carried)
    pack(Workspace(tmp_path / "home"), settings(), carried, KEYS)
    for kind, name in KEYS:
        assert sha256_path(carried / kind / name / "out") == sha256_path(results / kind / name / "out")


def test_an_outdated_input_is_not_carried_along(results, tmp_path):
    home, carried = Workspace(tmp_path / "home"), tmp_path / "carried"
    other = [*SMALL, "runs.resnet20.seed=7"]
    for key in [("data", "digits"), ("train", "resnet20")]:
        Runner(home, settings(other)).prefill(key)
    shutil.copytree(results, carried)
    with pytest.raises(ValueError, match="not the one of stage train resnet20 here; adopt it, or remove it"):
        pack(home, settings(other), carried, [("plane", "resnet20")])
    shutil.rmtree(carried / "train")
    pack(home, settings(other), carried, [("plane", "resnet20")])
    assert sha256_path(carried / "train" / "resnet20" / "out") != sha256_path(results / "train" / "resnet20" / "out")


def test_one_bad_stage_does_not_keep_the_others_out(results, tmp_path):
    home, carried = Workspace(tmp_path / "home"), tmp_path / "carried"
    shutil.copytree(results, carried)
    (carried / "plane" / "resnet20" / "out" / "plane.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="plane/resnet20 is truncated or altered"):
        taken(home, carried)
    assert Runner(home, settings()).prefill(("train", "resnet20")).computed is False


def test_an_input_that_was_left_behind_is_named(results, tmp_path):
    lines, home, carried = [], Workspace(tmp_path / "home"), tmp_path / "carried"
    adopt(home, settings(), results, tell=lines.append)
    pack(home, settings([*SMALL, "planes.resnet20.seed=5"]), carried, [("plane", "resnet20")])
    shutil.rmtree(carried / "train")
    assert away.complete(carried, tell=lines.append) == [("plane", "resnet20")]
    assert "is missing; pack again where stage train resnet20 is" in lines[-1]


def test_other_code_is_refused(tmp_path, capsys):
    folder = packed(tmp_path)
    content = read_json(folder / "stages.json")
    content["stages"][1]["code"] = "0" * 64
    (folder / "stages.json").write_text(json.dumps(content))
    assert away.main([str(folder)]) == 2
    assert "the code here is not that with which" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"), [('{"layout": 9}', "no list of stages"), ('{"layout": 1}', "is damaged")]
)
def test_a_wrong_list_is_refused(tmp_path, content, message):
    (tmp_path / "stages.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        away.unpack(tmp_path)


def test_a_failure_stops_only_what_depends_on_it(tmp_path):
    lines = []
    folder = packed(tmp_path, [*SMALL, "planes.resnet20.train_examples=100000"], [*KEYS, ("slices", "small")])
    assert away.complete(folder, tell=lines.append) == [("plane", "resnet20")]
    assert any(line.startswith("plane resnet20 failed: ValueError: train_examples = 100000") for line in lines)
    assert (folder / "slices" / "small" / "done.json").is_file()


def test_the_end_of_the_time_is_gone_on_from(tmp_path):
    folder = packed(tmp_path, [*SMALL, "runs.resnet20.train.epochs=200"], [("train", "resnet20")])
    process = subprocess.Popen(command(folder), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    state = folder / "train" / "resnet20" / "work" / "state.pt"
    end = time.monotonic() + 120
    while not state.is_file() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped by SIGTERM; the same command goes on; missing: train resnet20" in error
    assert state.is_file()
