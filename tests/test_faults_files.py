"""Disks that are full or cannot be written, files that are damaged or foreign, names and files that mean harm."""

import errno
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fault_cases import DATA, PLANE, TRAIN, Place
from lossatlas import files
from lossatlas.files import publish, read_json, sha256_path, write_bytes, write_json
from lossatlas.landscape.directions import random_direction
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.models.tensorfile import read_torch
from lossatlas.results import Line
from lossatlas.stages.runner import Runner
from lossatlas.training.state import Progress, load_state, save_state

TINY = {"family": "resnet", "options": {"depth": 8, "base_width": 2}, "num_classes": 4, "input_size": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small published training; tests that change it copy it."""
    place = Place(tmp_path_factory.mktemp("made") / "place", "sizes.epochs=1", "runs.resnet20.train.checkpoints=[1]")
    place.publish(*DATA)
    place.publish(*TRAIN)
    return place


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    shutil.copytree(trained.workspace.root, tmp_path / "place", symlinks=True)
    copy = object.__new__(Place)
    copy.workspace, copy.params = type(trained.workspace)(tmp_path / "place"), trained.params
    return copy


def model():
    torch.manual_seed(0)
    return torch.nn.Linear(60, 60)


def optimizer(network):
    made = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(2, 60)).sum().backward()
    made.step()
    return made


def line():
    values = {name: np.linspace(0, 1, 400) for name in Line.DIMS if name != "computed"}
    return Line(alpha=np.linspace(0, 1, 400), computed=np.ones(400, bool), **values)


def save_training(path):
    network = model()
    save_state(path, network, optimizer(network), Progress())


def save_weights(path):
    save_checkpoint(path, model(), family=None, options={}, num_classes=60, input_size=8, epoch=3)


WRITERS = {
    "text": lambda path: files.write_text(path, "x" * 20_000),
    "result": lambda path: line().save(path),
    "checkpoint": save_weights,
    "state": save_training,
    "direction": lambda path: random_direction(model().state_dict(), seed=0).save(path),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_an_error_of_the_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch, kind, number):
    def fail(_handle):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"cannot write {path} \({os.strerror(number)}; .*run the same command again"):
        WRITERS[kind](path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


# a limit of the system on the size of files, which stops a write in its middle; in a process of its own
LIMITED = """
import sys
sys.path.insert(0, {tests!r})
from test_faults_files import WRITERS
import resource
from pathlib import Path
path = Path(sys.argv[1])
for kind, write in WRITERS.items():
    write(path / "warm")
(path / "warm").unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
for kind, write in WRITERS.items():
    try:
        write(path / "file")
    except OSError as error:
        print(kind, error)
"""


def test_a_write_that_stops_in_its_middle_leaves_nothing(tmp_path):
    program = LIMITED.format(tests=os.path.dirname(__file__))
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(WRITERS)
    assert all(f"cannot write {tmp_path / 'file'} (File too large; make room there" in line for line in lines)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def full_disk(tmp_path):
    """A file system with 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(full_disk, tmp_path):
    (full_disk / "ballast").write_bytes(b"x" * 60_000)
    for write in (WRITERS["text"], WRITERS["result"], WRITERS["checkpoint"], WRITERS["state"]):
        with pytest.raises(OSError, match=rf"cannot write {full_disk}/file \(No space left on device; make room"):
            write(full_disk / "file")
    for name in ("a", "b"):
        write_bytes(tmp_path / "out" / name, b"x" * 30_000)
    with pytest.raises(OSError, match=rf"cannot write {full_disk}/out .*No space left"):
        publish(tmp_path / "out", full_disk / "out")
    with pytest.raises(OSError, match=rf"cannot write {full_disk}/a .*No space left"):
        publish(tmp_path / "out" / "a", full_disk / "a")
    assert os.listdir(full_disk) == ["ballast"]


def test_a_stage_on_a_full_disk_is_one_line_and_goes_on_later(place):
    """The limit on the size of files stands for the disk: small files pass, the state of the training does not."""
    shutil.rmtree(place.workspace.scratch)
    shutil.rmtree(place.published(*TRAIN))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"
    code, out, err = place.run("stage", *TRAIN, setup=limit)
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
    assert (code, out) == (2, "") and err.count("\n") == 1, err
    assert err.startswith("lossatlas: ") and "cannot write" in err and "(File too large; make room there" in err
    assert str(place.workspace.scratch) in err and not place.published(*TRAIN).exists()
    assert Runner(place.workspace, place.params).publish(TRAIN).computed


@pytest.mark.parametrize("spot", ["artifacts", ".lossatlas"])
def test_a_file_in_the_place_of_a_folder_is_one_line(place, spot):
    root = place.workspace.root
    (root / spot).rename(root / "aside")
    (root / spot).write_text("in the way")
    code, _, err = place.run("stage", *DATA)
    assert code == 2 and err.count("\n") == 1, err
    assert str(root / spot) in err


@pytest.mark.parametrize("name", ["run.json", "history.h5", "final.safetensors", "stage.json", "curves.csv"])
def test_a_published_output_that_was_altered_is_no_input(place, name):
    """Each file of an output: nothing is computed from what is damaged, and the line says how to mend it."""
    folder = place.published(*TRAIN)
    content = (folder / name).read_bytes()
    draws = random.Random(1)
    for _ in range(4):
        altered = bytearray(content)
        altered[draws.randrange(len(content))] ^= 1
        (folder / name).write_bytes(altered)
        with pytest.raises(ValueError, match=r"train/resnet20, which stage plane resnet20 needs, was altered after .*"):
            place.publish(*PLANE)
    assert not place.published(*PLANE).exists()
    assert not place.publish(*TRAIN).computed  # what the line says: published again, from scratch
    assert (folder / name).read_bytes() == content


def test_what_was_altered_is_not_logged(place):
    file = place.published(*TRAIN) / "history.h5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    code, out, err = place.run("track")
    assert (code, out) == (2, "")
    assert err == (
        f"lossatlas: {file.parent} was altered after it was published, and nothing was logged; "
        "run `dvc repro` or `lossatlas stage train resnet20`\n"
    )
    assert not place.workspace.tracking.exists()


# Python's clock is 400 days ahead, in another time zone; that of compiled code, HDF5's for example, is seconds ahead
LATER = """
import os, time
os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()
plain, plain_ns, ahead = time.time, time.time_ns, 400 * 86400
time.time, time.time_ns = lambda: plain() + ahead, lambda: plain_ns() + ahead * 10**9
"""


def test_another_day_gives_the_same_bytes(place):
    place.publish(*PLANE)
    keys = (DATA, TRAIN, PLANE)
    before = {key: sha256_path(place.published(*key)) for key in keys}
    for folder in (place.workspace.scratch, place.workspace.root / "artifacts"):
        shutil.rmtree(folder)
    for key in keys:
        code, out, err = place.run("stage", *key, setup=LATER)
        assert (code, err) == (0, "") and "computed in" in out
    assert {key: sha256_path(place.published(*key)) for key in keys} == before


@pytest.mark.parametrize("name", ["done.json", "side.json", "out/run.json", "out/final.safetensors"])
def test_scratch_that_was_altered_is_computed_again(place, name, capsys):
    (folder,) = (path for path in (place.workspace.scratch / "stages" / "train").iterdir() if path.is_dir())
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    shutil.rmtree(place.published(*TRAIN))
    computed = place.publish(*TRAIN).computed
    assert computed == (name != "side.json")  # timings, which nothing depends on
    assert ("was altered after it was finished; it is computed again" in capsys.readouterr().err) == computed
    assert {path.name: path.read_bytes() for path in place.published(*TRAIN).iterdir()} == before


def test_data_that_are_not_those_of_the_manifest(place):
    folder = place.published(*DATA)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"data/digits, which stage train resnet20 needs, was altered"):
        shutil.rmtree(place.published(*TRAIN))
        place.publish(*TRAIN)


class Harm:
    """A pickle that would run a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_means_harm_is_not_executed(tmp_path, legacy):
    mark = tmp_path / "mark"
    for name in ("model.t7", "state.pt"):
        content = {"state_dict": {"w": Harm(mark)}, "model": Harm(mark), "optimizer": {}, "progress": {}}
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    (tmp_path / "plain.t7").write_bytes(pickle.dumps(Harm(mark)))
    message = r"holds Python objects, which are not loaded because that would run their code|is truncated or damaged"
    for name in ("model.t7", "plain.t7"):
        with pytest.raises(ValueError, match=message):
            load_checkpoint(tmp_path / name)
    with pytest.raises(ValueError, match="holds Python objects"):
        read_torch(tmp_path / "model.t7")
    network = model()
    with pytest.raises(ValueError, match=r"state.pt is damaged .*delete it to train from the start"):
        load_state(tmp_path / "state.pt", network, optimizer(network))
    pickle.loads(pickle.dumps(Harm(tmp_path / "other")))
    assert (tmp_path / "other").exists() and not mark.exists()  # the same pickle does harm elsewhere


def test_weights_without_description_that_bear_our_own_are_damaged(tmp_path):
    about = json.dumps({"weights_hash": "0"})
    save_file({"w": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"lossatlar": about})
    with pytest.raises(ValueError, match=r"a.safetensors is damaged \(its description has another name\); replace it"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_counters_of_batches_are_guarded_too(tmp_path):
    from lossatlas.models import build

    path = tmp_path / "a.safetensors"
    network = build("resnet", num_classes=4, input_size=8, depth=8, base_width=2)
    save_checkpoint(path, network, **TINY, epoch=1)
    checkpoint = load_checkpoint(path)
    counter = next(name for name in checkpoint.state if name.endswith("num_batches_tracked"))
    content, header = path.read_bytes(), 8 + int.from_bytes(path.read_bytes()[:8], "little")
    start = json.loads(content[8:header])[counter]["data_offsets"][0]
    path.write_bytes(content[: header + start] + b"\x05" + content[header + start + 1 :])
    with pytest.raises(ValueError, match=r"damaged \(its description does not have the hash stored with it\)"):
        load_checkpoint(path)
