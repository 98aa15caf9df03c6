"""Decoded data sets on disk: each is read from its own files once."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock

from lossatlas.data.dataset import DataSet
from lossatlas.data.imagefolder import scan_imagefolder
from lossatlas.data.sources import SourceKind, load_source, resolved_root
from lossatlas.data.subsets import SubsetKind, subset
from lossatlas.files import canonical_json, sha256_json, write_bytes

LAYOUT = 1  # counts up when the same sources are decoded or stored in another way
TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
METADATA = "lossatlas"  # one key only: safetensors writes several in no fixed order


def _content_hash(dataset: DataSet) -> str:
    return sha256_json({"name": dataset.name, "fingerprint": dataset.fingerprint()})


def write_dataset(dataset: DataSet, path: Path) -> None:
    """Write a data set with the hash of its content to one safetensors file, atomically and byte-stable."""
    from safetensors.torch import save

    about = {"name": dataset.name, "classes": dataset.classes, "sha256": _content_hash(dataset)}
    tensors = {name: getattr(dataset, name).contiguous() for name in TENSORS}
    write_bytes(path, save(tensors, metadata={METADATA: canonical_json(about)}))


def read_dataset(path: Path) -> DataSet:
    """Read a file of `write_dataset` and verify its content hash.

    Raises:
        ValueError: the file is truncated or altered; the text names it and says what to do.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[METADATA])
            # A copy: a tensor that is mapped from the file would change with it.
            tensors = {name: file.get_tensor(name).clone() for name in TENSORS}
        dataset = DataSet(**tensors, classes=tuple(about["classes"]), name=about["name"])
        intact = _content_hash(dataset) == about["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is truncated or altered ({error}); delete it, and it is made again") from error
    if not intact:
        raise ValueError(
            f"{path} is altered: its content does not have the stored hash; delete it, and it is made again"
        )
    return dataset


def _cache_path(kind: SourceKind, root: Path | None, cache: Path) -> Path:
    state = scan_imagefolder(root).state() if kind == "imagefolder" and root is not None else ""
    key = sha256_json({"layout": LAYOUT, "kind": kind, "root": str(root), "state": state})
    return cache / f"{kind}-{key[:16]}.safetensors"


def load_dataset(
    kind: SourceKind,
    *,
    cache: Path,
    root: Path | None = None,
    train: int | None = None,
    test: int | None = None,
    how: SubsetKind = "first",
    seed: int = 0,
    download: bool = True,
) -> DataSet:
    """Return a data set, or a part of it; read its own files only if the cache does not have it.

    The cache holds the whole data set in one file per kind, root and state of the source files (names, sizes and
    modification times of an image folder). Processes that start together wait for the one that makes the file.

    Args:
        kind: which data set, see `load_source`.
        cache: the folder of the cache files.
        root: the folder with the data set's files; not used by `digits`.
        train: how many training images to keep; None keeps all.
        test: how many test images to keep; None keeps all.
        how: which images to keep, see `subset`.
        seed: the seed of a stratified choice.
        download: let torchvision download CIFAR into `root` when it is not there.

    Raises:
        FileNotFoundError: files are missing and cannot be downloaded.
        ValueError: an argument is impossible, or a file is damaged; the text names it.
    """
    folder = resolved_root(kind, root)
    path = _cache_path(kind, folder, cache)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{path.name}.lock"):
            if not path.exists():
                write_dataset(load_source(kind, root=folder, download=download), path)
    return subset(read_dataset(path), train=train, test=test, how=how, seed=seed)
