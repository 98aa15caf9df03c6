"""Killed and resumed trainings give the bytes of uninterrupted ones."""

import signal

import pytest

from training.killed import CASES, STEPS, files, train_apart

KILLED = -signal.SIGKILL
MOMENTS = [
    ("step", 1),
    ("step", STEPS + 2),
    ("step", 3 * STEPS),
    ("before state", 0),
    ("before state", 2),
    ("after state", 0),
    ("after state", 1),
    ("after state", 3),
    ("writing state", 0),
    ("writing state", 2),
    ("writing weights", 0),
    ("writing weights", 3),
    ("writing weights", 7),
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    found = {}

    def get(name):
        if name not in found:
            folder = tmp_path_factory.mktemp("whole")
            assert train_apart(name, folder) == 0
            found[name] = files(folder)
        return found[name]

    return get


@pytest.mark.parametrize("name", CASES)
def test_two_processes_write_the_same_bytes(name, uninterrupted, tmp_path):
    assert train_apart(name, tmp_path) == 0
    expected = uninterrupted(name)
    assert sorted(expected) == [*(f"epoch_000{e}.safetensors" for e in range(4)), "final.safetensors", "history.h5"]
    assert files(tmp_path) == expected
    weights = [expected[f"epoch_000{e}.safetensors"] for e in range(4)]
    assert len(set(weights)) == 4 and expected["final.safetensors"] == weights[3]


@pytest.mark.parametrize("death", MOMENTS, ids=lambda death: f"{death[0]} {death[1]}")
def test_killed_once(death, uninterrupted, tmp_path):
    assert train_apart("batch norm", tmp_path, death) == KILLED
    assert train_apart("batch norm", tmp_path) == 0
    assert files(tmp_path) == uninterrupted("batch norm")


@pytest.mark.parametrize("name", [name for name in CASES if name != "batch norm"])
@pytest.mark.parametrize("death", [("step", STEPS + 2), ("after state", 1), ("writing state", 2)])
def test_dropout_and_adam_killed_once(name, death, uninterrupted, tmp_path):
    assert train_apart(name, tmp_path, death) == KILLED
    assert train_apart(name, tmp_path) == 0
    assert files(tmp_path) == uninterrupted(name)


def test_killed_again_and_again(uninterrupted, tmp_path):
    deaths = [
        ("writing weights", 1),  # the second of epoch 0
        ("after state", 0),
        ("step", 3),
        ("writing state", 0),  # of epoch 1, the first in that process
        ("step", STEPS + 1),
        ("writing weights", 1),  # the second of epoch 2
    ]
    for death in deaths:
        assert train_apart("adam dropout", tmp_path, death) == KILLED
    assert train_apart("adam dropout", tmp_path) == 0
    assert files(tmp_path) == uninterrupted("adam dropout")


def test_a_finished_training_is_not_repeated(uninterrupted, tmp_path):
    assert train_apart("batch norm", tmp_path) == 0
    assert train_apart("batch norm", tmp_path, ("step", 1)) == 0  # it never reaches a step
    assert files(tmp_path) == uninterrupted("batch norm")
