"""CIFAR-10 and CIFAR-100 in their original files, through torchvision."""

from __future__ import annotations

import hashlib
import tarfile
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lossatlas.data.dataset import DataSet

CifarKind = Literal["cifar10", "cifar100"]


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _refuse_damaged(path: Path, expected: str) -> None:
    if path.is_file() and (found := _md5(path)) != expected:
        raise ValueError(
            f"{path} is truncated or altered: its md5 is {found}, not {expected}; delete it and run again, "
            "or put an intact copy there"
        )


def _batches(source: Any, root: Path) -> dict[Path, str]:
    """The unpacked files and their md5."""
    folder = root / source.base_folder
    listed = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
    return {folder / name: md5 for name, md5 in listed}


def _missing(kind: str, source: Any, root: Path, reason: str) -> FileNotFoundError:
    names = ", ".join(path.name for path in _batches(source, root))
    return FileNotFoundError(
        f"{kind} is not in {root} and {reason}. Put {source.filename} (md5 {source.tgz_md5}, from {source.url}) into "
        f"{root}, or its unpacked folder {source.base_folder} ({names}); or set root to the folder that has one of them"
    )


def _fetch(kind: CifarKind, source: Any, root: Path, download: bool) -> None:
    """Make sure that all unpacked files are there and intact; unpack or download the archive if need be."""
    batches = _batches(source, root)
    for path, md5 in batches.items():
        _refuse_damaged(path, md5)
    if all(path.is_file() for path in batches):
        return
    archive = root / source.filename
    _refuse_damaged(archive, source.tgz_md5)
    had_archive = archive.is_file()
    if not had_archive and not download:
        raise _missing(kind, source, root, "downloads are switched off (download = False)")
    try:
        source(root, train=False, download=True)
    except (OSError, RuntimeError, HTTPException, tarfile.TarError, EOFError) as error:
        if had_archive:
            raise ValueError(f"{archive} cannot be unpacked into {root}: {error}") from error
        if archive.is_file() and _md5(archive) != source.tgz_md5:
            archive.unlink()  # the part of a download must not pass for somebody's damaged copy
        raise _missing(kind, source, root, f"cannot be downloaded ({type(error).__name__}: {error})") from error


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()  # (n, 32, 32, 3) -> (n, 3, 32, 32)
    return images, torch.tensor(part.targets, dtype=torch.int64)


def load_cifar(kind: CifarKind, *, root: Path, download: bool = True) -> DataSet:
    """Return CIFAR-10 or CIFAR-100 (fine labels) in the original order, every file checked against its md5.

    Args:
        kind: which of the two.
        root: the folder with the archive or with its unpacked folder.
        download: fetch the archive into `root` when neither is there.

    Raises:
        FileNotFoundError: the files are not there and cannot be downloaded; the text says what to put where.
        ValueError: a file is truncated or altered; the text names it.
    """
    from torchvision.datasets import CIFAR10, CIFAR100

    source: Any = {"cifar10": CIFAR10, "cifar100": CIFAR100}[kind]
    with warnings.catch_warnings():
        # Python 2 pickled the batches with an integer where NumPy 2.4.0 to 2.4.4 warn that they want a boolean.
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        _fetch(kind, source, root, download)
        train, test = source(root, train=True), source(root, train=False)
    train_images, train_labels = _tensors(train)
    test_images, test_labels = _tensors(test)
    return DataSet(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=tuple(train.classes),
        name=kind,
    )
