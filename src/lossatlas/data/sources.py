"""The one way from a kind of data set and a folder to its images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from lossatlas.data.cifar import load_cifar
from lossatlas.data.dataset import DataSet
from lossatlas.data.digits import load_digits
from lossatlas.data.imagefolder import load_imagefolder, scan_imagefolder

SourceKind = Literal["digits", "cifar10", "cifar100", "imagefolder"]


def resolved_root(kind: SourceKind, root: Path | None) -> Path | None:
    """Return the absolute root of a source, None for `digits`, which has no files.

    Raises:
        ValueError: the kind is unknown, or needs a root and has none.
    """
    if kind not in get_args(SourceKind):
        raise ValueError(f"kind = {kind!r} is no data set; use one of {', '.join(get_args(SourceKind))}")
    if kind == "digits":
        return None
    if root is None:
        raise ValueError(f"root is missing: {kind} needs the folder with its files")
    return root.expanduser().absolute()


def load_source(kind: SourceKind, *, root: Path | None = None, download: bool = True) -> DataSet:
    """Read a data set from its own files.

    Args:
        kind: `digits` (comes with scikit-learn), `cifar10`, `cifar100` (the original files, through torchvision) or
            `imagefolder` (`root/{train,test}/<class>/<name>.png`).
        root: the folder with the files; not used by `digits`.
        download: let torchvision download CIFAR into `root` when it is not there.

    Raises:
        FileNotFoundError: files are missing and cannot be downloaded.
        ValueError: the kind is unknown, `root` is missing, or a file is damaged.
    """
    folder = resolved_root(kind, root)
    if folder is None:
        return load_digits()
    if kind == "imagefolder":
        return load_imagefolder(scan_imagefolder(folder))
    return load_cifar("cifar100" if kind == "cifar100" else "cifar10", root=folder, download=download)
