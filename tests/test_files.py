import errno
import hashlib
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossatlas import files
from lossatlas.files import (
    canonical_json,
    publish,
    read_json,
    replacing,
    sha256_file,
    sha256_json,
    sha256_path,
    write_bytes,
    write_json,
    write_text,
)
from lossatlas.stages.stopping import StoppedError


class StopError(Exception):
    pass


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("new a")
    (folder / "sub" / "b.txt").write_text("new b")
    return folder


def test_a_new_file_appears_with_its_folders(tmp_path):
    path = tmp_path / "x" / "y" / "file.txt"
    write_text(path, "höhe")
    assert path.read_bytes() == "höhe".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the n")
        assert path.read_text() == "old"
        raise error
    assert tree(tmp_path) == {"file.txt": b"old"}


def test_an_error_leaves_no_new_file(tmp_path):
    with pytest.raises(StopError), replacing(tmp_path / "file.txt"):
        raise StopError
    assert tree(tmp_path) == {}


def test_the_content_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    write_bytes(tmp_path / "file", b"content")
    assert done == ["fsync", "replace"]


def test_a_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "place").mkdir()
    with pytest.raises(OSError):
        write_text(tmp_path / "place", "x")
    assert os.listdir(tmp_path) == ["place"]


def test_publish_a_file(tmp_path, source):
    target = tmp_path / "out" / "a.txt"
    publish(source / "a.txt", target)
    assert target.read_text() == "new a"
    (source / "a.txt").write_text("newer")
    publish(source / "a.txt", target)
    assert tree(target.parent) == {"a.txt": b"newer"}


def test_publish_a_folder_replaces_all_of_the_old_one(tmp_path, source):
    target = tmp_path / "out" / "folder"
    target.mkdir(parents=True)
    (target / "gone.txt").write_text("old")
    publish(source, target)
    assert tree(target.parent) == {"folder/a.txt": b"new a", "folder/sub/b.txt": b"new b"}
    assert tree(source) == {"a.txt": b"new a", "sub/b.txt": b"new b"}


def test_publish_over_a_file_and_without_a_source(tmp_path, source):
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "absent", target)
    assert target.read_text() == "old"
    publish(source, target)
    assert tree(target) == tree(source)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("failing", ["copy", "replace"])
def test_publish_keeps_the_old_folder_when_it_fails(tmp_path, source, monkeypatch, old, failing):
    target = tmp_path / "out" / "folder"
    target.parent.mkdir()
    if old:
        target.mkdir()
        (target / "old.txt").write_text("old")
    before = tree(target.parent)

    def broken_copy(*_args, **_kwargs):
        raise StopError

    original = os.replace

    def broken_replace(a, b):
        if str(a).endswith("new"):
            raise StopError
        original(a, b)

    monkeypatch.setattr(files.shutil, "copytree", broken_copy) if failing == "copy" else monkeypatch.setattr(
        os, "replace", broken_replace
    )
    with pytest.raises(StopError):
        publish(source, target)
    assert tree(target.parent) == before
    assert sorted(os.listdir(target.parent)) == (["folder"] if old else [])


@pytest.mark.parametrize("last", ["folder", "new"])
def test_a_signal_after_either_rename_loses_no_publication(tmp_path, source, monkeypatch, last):
    target = tmp_path / "out" / "folder"
    target.mkdir(parents=True)
    (target / "old.txt").write_text("old")
    original = os.replace

    def stopped_replace(a, b):
        original(a, b)
        if os.path.basename(a) == last:
            raise StoppedError(signal.SIGTERM)

    monkeypatch.setattr(os, "replace", stopped_replace)
    with pytest.raises(StoppedError):
        publish(source, target)
    assert tree(target) == ({"old.txt": b"old"} if last == "folder" else tree(source))
    assert os.listdir(target.parent) == ["folder"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room there"), (errno.EACCES, "see to that file"), (errno.ENOENT, "see to that file")],
)
def test_publish_says_what_helps_against_what_could_not_be_copied(tmp_path, source, monkeypatch, number, remedy):
    def fail(source, _target):
        raise OSError(number, os.strerror(number), source)

    monkeypatch.setattr(files.shutil, "copyfile", fail)
    with pytest.raises(
        OSError, match=rf"cannot write {tmp_path / 'out'} \(.*; {remedy} and run the same command again"
    ):
        publish(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_canonical_json_round_trip(value):
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_does_not_depend_on_order_or_container():
    assert canonical_json({"b": (1, 2), "a": 0}) == canonical_json({"a": 0, "b": [1, 2]}) == '{"a":0,"b":[1,2]}'


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_what_json_has_not_becomes_null(bad):
    assert canonical_json({"x": [bad]}) == '{"x":[null]}'


def test_what_is_no_plain_value_is_an_error():
    with pytest.raises(TypeError):
        canonical_json({"x": {1, 2}})


def test_json_files_are_sorted_and_stable(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1.5, "a": [None]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    null\n  ],\n  "b": 1.5\n}\n'
    assert read_json(tmp_path / "a.json") == {"b": 1.5, "a": [None]}


def test_hashes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_path(tmp_path / "f") == sha256_file(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 2, "b": 1})
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        sha256_path(tmp_path / "absent")


def test_the_hash_of_a_folder_is_that_of_names_and_contents(tmp_path, source):
    first = sha256_path(source)
    other = tmp_path / "other"
    publish(source, other)
    assert sha256_path(other) == first
    (other / "a.txt").rename(other / "c.txt")
    assert sha256_path(other) != first
    (other / "c.txt").rename(other / "a.txt")
    (other / "sub" / "b.txt").write_text("changed")
    assert sha256_path(other) != first


def test_paths_may_be_strings(tmp_path):
    write_json(str(tmp_path / "x" / "a.json"), [1])
    assert read_json(str(tmp_path / "x" / "a.json")) == [1]
    with replacing(str(tmp_path / "b")) as temporary:
        temporary.write_bytes(b"b")
    assert (tmp_path / "b").read_bytes() == b"b"


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe{", b'{"a": "\xe9"}', b"{} {}"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is no valid JSON \(.*\); remove it and run the stage again"):
        read_json(tmp_path / "a.json")


def test_json_that_is_absent_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent.json")


# The child is killed without notice while it copies, when the leftovers of its publication are on the disk.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from lossatlas.files import publish

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

shutil.copyfile = shutil.copytree = die
publish(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("part", [".", "a.txt"])
def test_a_publication_removes_what_a_killed_one_left(tmp_path, source, part):
    target = tmp_path / "out" / "target"
    done = subprocess.run([sys.executable, "-c", KILLED, source / part, target], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(os.listdir(target.parent)) == 1
    publish(source / part, target)
    assert os.listdir(target.parent) == ["target"]


def test_leftovers_of_other_targets_stay(tmp_path, source):
    others = [".a.json.x1y2z3_4.part", ".ab.x1y2z3_4.part", "a.x1y2z3_4.part", ".a.x1y2z3_4", ".a.part"]
    for name in others:
        (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / ".a.x1y2z3_4.part" / "old").mkdir(parents=True)
    publish(source, tmp_path / "out" / "a")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*others, "a"])
    (tmp_path / "out" / ".[a].x1y2z3_4.part").write_text("half")
    publish(source, tmp_path / "out" / "[a]")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*others, "a", "[a]"])
