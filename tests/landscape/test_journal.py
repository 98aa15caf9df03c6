import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.cases import small_data, small_model
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.landscape.surfaces import line, plane
from lossatlas.results import VALUES

TESTS = Path(__file__).parents[1]
GRID = {"x": np.linspace(-1, 1, 4), "y": np.linspace(-0.5, 1, 3)}


def case():
    """A model and data in float32, the same in every process."""
    return small_model().float(), small_data(dtype=torch.float32), small_data(5, seed=8, dtype=torch.float32)


def evaluations(monkeypatch):
    """Count the points that are really evaluated."""
    counted = []
    original = Evaluator.__call__

    def call(self, *args, **kwargs):
        counted.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Evaluator, "__call__", call)
    return counted


# The child evaluates the same plane, and is killed without notice before its eighth point.
CHILD = """
import os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from landscape import test_journal
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points, surfaces
from lossatlas.landscape.directions import random_direction

folder = Path(sys.argv[1])
points.FLUSH_SECONDS = 0
original, calls = Evaluator.__call__, []

def call(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.001)
    return original(self, *args, **kwargs)

Evaluator.__call__ = call
model, train, test = test_journal.case()
random_direction(model.state_dict(), seed=0).save(folder / "child.safetensors")
surfaces.plane(model, train, test, **test_journal.GRID, journal=folder / "points.jsonl", batch_size=3)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    journal = tmp_path / "points.jsonl"
    assert len(journal.read_text().splitlines()) == 1 + 7
    with journal.open("a") as stream:
        stream.write('[7, "0x1.8')  # what a kill in the middle of a write leaves

    model, train, test = case()
    plane(model, train, test, **GRID, batch_size=3).save(tmp_path / "whole.h5")
    counted = evaluations(monkeypatch)
    plane(model, train, test, **GRID, journal=journal, batch_size=3).save(tmp_path / "resumed.h5")
    assert len(counted) == 12 - 7
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "resumed.h5").read_bytes()

    random_direction(model.state_dict(), seed=0).save(tmp_path / "parent.safetensors")
    assert (tmp_path / "parent.safetensors").read_bytes() == (tmp_path / "child.safetensors").read_bytes()

    counted.clear()
    plane(model, train, test, **GRID, journal=journal, batch_size=3).save(tmp_path / "again.h5")
    assert not counted
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_points_that_were_flushed_survive_an_exception(tmp_path, monkeypatch):
    monkeypatch.setattr(points, "FLUSH_SECONDS", -1)
    model, train, _ = case()
    counted = evaluations(monkeypatch)
    original = Evaluator.measure

    def fail(self, name):
        if len(counted) == 3:
            raise MemoryError("no memory left")
        return original(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "measure", fail)
        with pytest.raises(MemoryError):
            line(model, train, alpha=range(5), journal=tmp_path / "j")
    counted.clear()
    found = line(model, train, alpha=range(5), journal=tmp_path / "j")
    assert len(counted) == 3
    assert found.train_loss.tobytes() == line(model, train, alpha=range(5)).train_loss.tobytes()


def test_the_note_of_a_resumed_run_is_that_of_a_whole_one(tmp_path):
    model, train, _ = case()
    first, second = (line(model, train, alpha=[0, 1e30], journal=tmp_path / "j") for _ in range(2))
    assert first.note == second.note != ""


def changed_labels(data):
    return data[0], (data[1] + 1) % 4


def other_eps(model):
    model.bn1.eps = 0.5
    return model


def other_weights(model):
    with torch.no_grad():
        model.linear.weight.mul_(1 + 1e-6)
    return model


OTHERS = {
    "grid": lambda m, d: {"alpha": [0, 2]},
    "seed": lambda m, d: {"seed": 1},
    "images": lambda m, d: {"train": (d[0] + 1e-6, d[1])},
    "labels": lambda m, d: {"train": changed_labels(d)},
    "test set": lambda m, d: {"test": d},
    "weights": lambda m, d: {"model": other_weights(m)},
    "batches": lambda m, d: {"batch_size": 2},
    "network": lambda m, d: {"model": other_eps(m)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_journal_of_anything_else_is_refused(name, tmp_path):
    model, train, _ = case()
    arguments = {"model": model, "train": train, "alpha": [0, 1], "journal": tmp_path / "points.jsonl"}
    line(**arguments)
    with pytest.raises(ValueError, match="points.jsonl holds points of other data, weights, loss or grid .*remove it"):
        line(**arguments | OTHERS[name](model, train))


def test_a_journal_without_points_stands_in_nobodys_way(tmp_path):
    path, values = tmp_path / "j", empty_values(VALUES, 1)
    Journal(path, "first")
    book = Journal(path, "second")
    book.append([0], values)
    book.close()
    with pytest.raises(ValueError, match="holds points of other data, .* .second, this one is first"):
        Journal(path, "first")


def test_every_bit_survives(tmp_path):
    values = empty_values(VALUES, 7)
    special = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, 0.1]
    for array in values.values():
        array[:] = special
    Journal(tmp_path / "j", "g").append(range(7), values)
    found, computed = empty_values(VALUES, 8), np.zeros(8, dtype=bool)
    Journal(tmp_path / "j", "g").restore(found, computed)
    assert computed.tolist() == [True] * 7 + [False]
    for name, array in found.items():
        assert array[:7].tobytes() == values[name].tobytes()
        assert np.isnan(array[7])


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_line_that_was_cut_short_is_dropped(tmp_path, cut):
    path, values = tmp_path / "j", empty_values(VALUES, 3)
    book = Journal(path, "g")
    for array in values.values():
        array[:] = [1 / 3, 2.0, 3.0]
    book.append([0, 1], values)
    book.close()
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    again = Journal(path, "g")
    found, computed = empty_values(VALUES, 3), np.zeros(3, dtype=bool)
    again.restore(found, computed)
    assert computed.tolist() == [True, False, False]
    # the next point starts on a line of its own
    again.append([1], values)
    assert path.read_bytes() == content


# the child evaluates the same plane, and stands still in its midst with half a line in the journal until it is killed
HOLDER = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from landscape import test_journal
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points, surfaces

journal = Path(sys.argv[1])
points.FLUSH_SECONDS = -1
original, calls = Evaluator.__call__, []

def call(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 8:
        with journal.open("a") as stream:
            stream.write('[7, "0x1.8')
        print("open", flush=True)
        time.sleep(600)
    return original(self, *args, **kwargs)

Evaluator.__call__ = call
model, train, test = test_journal.case()
surfaces.plane(model, train, test, **test_journal.GRID, journal=journal, batch_size=3)
"""


def test_a_journal_that_is_open_elsewhere_is_refused_and_stays_as_it_is(tmp_path, monkeypatch):
    journal = tmp_path / "points.jsonl"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    model, train, test = case()
    command = [sys.executable, "-c", HOLDER, str(journal)]
    holder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "open\n"
        before = journal.stat().st_ino, journal.read_bytes()
        with pytest.raises(ValueError, match=rf"{journal} is open elsewhere, .*; wait until that has ended") as caught:
            plane(model, train, test, **GRID, journal=journal, batch_size=3)
        assert "\n" not in str(caught.value)
        assert (journal.stat().st_ino, journal.read_bytes()) == before
    finally:
        holder.kill()
        holder.communicate()
    # the system has freed it; the half line is dropped, the seven points before it are kept
    counted = evaluations(monkeypatch)
    plane(model, train, test, **GRID, journal=journal, batch_size=3)
    assert len(counted) == 12 - 7
    assert os.listdir(tmp_path) == ["points.jsonl"]


def test_a_journal_is_closed_whatever_happens(tmp_path):
    path = tmp_path / "points.jsonl"
    with Journal(path, "g"), pytest.raises(ValueError, match="is open elsewhere, here or in another process"):
        Journal(path, "g")
    Journal(path, "g").append([5], empty_values(VALUES, 6))
    with pytest.raises(ValueError, match="holds points of other"):
        Journal(path, "other")
    # its traceback, which a notebook keeps, keeps the journal too
    with pytest.raises(ValueError, match="is damaged") as caught, Journal(path, "g") as book:
        book.restore(empty_values(VALUES, 3), np.zeros(3, dtype=bool))
    assert caught.tb
    again = Journal(path, "g")
    again.close()
    again.close()
    assert os.listdir(tmp_path) == ["points.jsonl"]


@pytest.mark.parametrize(
    "line",
    [
        "\0\0\0\0",
        "[0, 1",
        "{}",
        "[]",
        '["0x1p0"]',
        '[0, "0x1p0"]',
        '[3, "nan", "nan", "nan", "nan"]',
        '[-1, "nan", "nan", "nan", "nan"]',
        '[true, "nan", "nan", "nan", "nan"]',
        '[0, "nan", "nan", "nan", "x"]',
        "[0, 1, 2, 3, 4]",
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_damaged_points_are_refused_by_name(tmp_path, line, sealed):
    path = tmp_path / "points.jsonl"
    Journal(path, "g")
    digest = hashlib.sha256(line.encode()).hexdigest()[:16]
    with path.open("a") as stream:
        stream.write(f"{line} {digest}\n" if sealed else f"{line}\n")
    with pytest.raises(ValueError, match="points.jsonl is damaged .*remove it"):
        Journal(path, "g").restore(empty_values(VALUES, 3), np.zeros(3, dtype=bool))


def test_every_flipped_bit_is_refused_or_drops_the_last_point(tmp_path):
    path, values = tmp_path / "points.jsonl", empty_values(VALUES, 3)
    for array in values.values():
        array[:] = [1 / 3, np.inf, np.nan]
    Journal(path, "g").append([0, 1, 2], values)
    content, draws = path.read_bytes(), random.Random(0)
    dropped = 0
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << draws.randrange(8)
        path.write_bytes(altered)
        found, computed = empty_values(VALUES, 3), np.zeros(3, dtype=bool)
        try:
            Journal(path, "g").restore(found, computed)
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged") and str(error).endswith("; remove it")
        else:  # its end is gone: a line that was cut short
            assert place == len(content) - 1 and computed.tolist() == [True, True, False]
            dropped += 1
    assert dropped == 1


def test_a_full_disk_names_the_journal(tmp_path):
    book, values = Journal(tmp_path / "points.jsonl", "g"), empty_values(VALUES, 1)
    (tmp_path / "points.jsonl").unlink()
    os.symlink("/dev/full", tmp_path / "points.jsonl")
    with pytest.raises(
        OSError, match=r"cannot write .*points.jsonl \(No space left on device; make room there and run"
    ):
        book.append([0], values)


@pytest.mark.parametrize("content", ["", "\n", "x\n", "[]\n", '{"grid": "g"}', "\xff\n"])
def test_a_damaged_beginning_is_refused_by_name(tmp_path, content):
    path = tmp_path / "points.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="points.jsonl is damaged .*remove it"):
        Journal(path, "g")


def test_a_journal_may_be_named_by_a_string_and_data_be_arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, train, test = case()
    arrays = [(inputs.numpy(), labels.numpy()) for inputs, labels in (train, test)]
    found = line(model, *arrays, alpha=range(3), journal="points.jsonl")
    assert found.train_loss.tobytes() == line(model, train, test, alpha=range(3)).train_loss.tobytes()
    counted = evaluations(monkeypatch)
    # the same data are the same grid, whatever holds them
    again = line(model, train, test, alpha=range(3), journal=str(tmp_path / "points.jsonl"))
    assert not counted
    assert again.test_loss.tobytes() == found.test_loss.tobytes()
