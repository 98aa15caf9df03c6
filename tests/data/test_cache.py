import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch

from lossatlas.data import cache as module
from lossatlas.data import load_dataset, load_source
from lossatlas.data.cache import read_dataset, write_dataset

from .made import MadeCifar, random_dataset, write_png


@pytest.fixture
def root(tmp_path):
    for split, base in (("train", 0), ("test", 100)):
        for index in range(6):
            write_png(tmp_path / "r" / split / "ab"[index % 2] / f"{index}.png", [[[base + index] * 3] * 2] * 2)
    return tmp_path / "r"


@pytest.fixture
def decoded(monkeypatch):
    """The kinds that were read from their own files."""
    kinds = []

    def counting(kind, **arguments):
        kinds.append(kind)
        return load_source(kind, **arguments)

    monkeypatch.setattr(module, "load_source", counting)
    return kinds


def files(folder):
    return sorted(folder.glob("*.safetensors"))


def test_decoded_once(root, tmp_path, decoded):
    first = load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    second = load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    assert decoded == ["imagefolder"]
    assert first.manifest() == second.manifest() == load_source("imagefolder", root=root).manifest()
    assert [path.name.split("-")[0] for path in files(tmp_path / "cache")] == ["imagefolder"]


def test_subsets_share_the_file(root, tmp_path, decoded):
    part = load_dataset("imagefolder", root=root, cache=tmp_path / "cache", train=3)
    assert part.train_images[:, 0, 0, 0].tolist() == [0, 1, 2]
    even = load_dataset("imagefolder", root=root, cache=tmp_path / "cache", train=4, test=2, how="stratified", seed=1)
    assert even.train_labels.bincount().tolist() == [2, 2]
    assert decoded == ["imagefolder"]


def test_changed_files_are_decoded_again(root, tmp_path, decoded):
    load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    write_png(root / "train" / "a" / "0.png", [[[77] * 3] * 2] * 2)
    os.utime(root / "train" / "a" / "0.png", ns=(1, 1))
    changed = load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    assert changed.train_images[0, 0, 0, 0] == 77
    assert len(decoded) == 2


def test_other_root_is_another_file(root, tmp_path, decoded, monkeypatch):
    load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    root.rename(tmp_path / "s")
    load_dataset("imagefolder", root=tmp_path / "s", cache=tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    load_dataset("imagefolder", root=tmp_path.__class__("s"), cache=tmp_path / "cache")
    assert len(decoded) == len(files(tmp_path / "cache")) == 2


def test_cached_cifar_needs_no_source(tmp_path, monkeypatch):
    made = MadeCifar("cifar100", tmp_path / "r", monkeypatch)
    dataset = load_dataset("cifar100", root=tmp_path / "r", cache=tmp_path / "cache")
    assert torch.equal(dataset.test_images, made.expected(["test"])[0])
    made.archive.unlink()
    made.batch("train").unlink()
    assert (
        load_dataset("cifar100", root=tmp_path / "r", cache=tmp_path / "cache").fingerprint() == dataset.fingerprint()
    )


def test_file_is_byte_stable(tmp_path):
    for name in "ab":
        write_dataset(random_dataset(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_dataset(tmp_path / "a").manifest() == random_dataset().manifest()


def test_every_altered_byte_is_refused_by_name(tmp_path):
    path = tmp_path / "set.safetensors"
    write_dataset(random_dataset(train=3, test=3, size=2), path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    padding = header - len(whole[:header].rstrip(b" "))
    for place in [*range(8, header - padding), *range(header, len(whole), 7), len(whole) - 1]:
        altered = bytearray(whole)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ValueError, match=r"set\.safetensors is .*altered.*delete it, and it is made again"):
            read_dataset(path)


@pytest.mark.parametrize("length", [0, 4, 8, 200, -1])
def test_truncated_file_is_refused_by_name(length, root, tmp_path):
    load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    (path,) = files(tmp_path / "cache")
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(ValueError, match=rf"{path.name} is truncated or altered .*delete it"):
        load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    path.unlink()
    load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    assert path.read_bytes() == whole


def test_file_of_another_program_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "x")
    with pytest.raises(ValueError, match="x is truncated or altered"):
        read_dataset(tmp_path / "x")


def test_failure_leaves_no_file(root, tmp_path):
    (root / "test" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be decoded"):
        load_dataset("imagefolder", root=root, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def _fingerprint(arguments):
    root, folder = arguments
    return load_dataset("imagefolder", root=root, cache=folder).fingerprint()


def test_processes_that_start_together(root, tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(_fingerprint, [(root, tmp_path / "cache")] * 6))
    assert found == {load_source("imagefolder", root=root).fingerprint()}
    assert len(files(tmp_path / "cache")) == 1


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="kind = 'mnist' is no data set; use one of digits, cifar10"):
        load_dataset("mnist", cache=tmp_path)
    with pytest.raises(ValueError, match="root is missing: cifar10 needs the folder with its files"):
        load_dataset("cifar10", cache=tmp_path)
    assert load_dataset("digits", root=None, cache=tmp_path, train=20).name == "digits"
