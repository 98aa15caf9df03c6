"""Images in folders: `root/{train,test}/<class>/<name>.png` (or jpg, jpeg)."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.data.dataset import DataSet
from lossatlas.files import sha256_json

SUFFIXES = (".png", ".jpg", ".jpeg")
EXPECTED = "expected <root>/{train,test}/<class>/<name>.png (or jpg, jpeg)"


@dataclass(frozen=True)
class ImageFolder:
    """The files of an image folder in their order, not yet decoded."""

    root: Path
    classes: tuple[str, ...]
    files: dict[str, list[tuple[Path, int]]]  # per split: path and class index

    def state(self) -> str:
        """Return a hash of the files' names, sizes and modification times."""
        entries = {}
        for path, _ in (entry for files in self.files.values() for entry in files):
            status = path.stat()
            entries[path.relative_to(self.root).as_posix()] = [status.st_size, status.st_mtime_ns]
        return sha256_json(entries)


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} does not exist; {EXPECTED}")
    names = sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    if not names:
        raise FileNotFoundError(f"the folder {folder} has no class folders; {EXPECTED}")
    return tuple(names)


def _ordered(files: list[tuple[Path, int]]) -> list[tuple[Path, int]]:
    if all(path.stem.isascii() and path.stem.isdigit() for path, _ in files):
        return sorted(files, key=lambda entry: (int(entry[0].stem), entry[1], entry[0].name))
    return sorted(files, key=lambda entry: (entry[1], entry[0].name))


def _split_files(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    files: list[tuple[Path, int]] = []
    for index, name in enumerate(classes):
        images = [item for item in (folder / name).iterdir() if item.suffix.lower() in SUFFIXES]
        images = [item for item in images if not item.name.startswith(".")]
        if not images:
            raise FileNotFoundError(f"the folder {folder / name} has no image; {EXPECTED}")
        files += [(image, index) for image in images]
    return _ordered(files)


def scan_imagefolder(root: Path) -> ImageFolder:
    """List the images below `root`.

    Classes are the folders' names, sorted. If every file of a split is named by a number, the images have the order of
    their numbers over all classes (ties: the earlier class first); else the order is by class, then by file name.

    Raises:
        FileNotFoundError: `root`, a split or a class folder is missing or empty.
        ValueError: training and test have different classes.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root = {root} is not a folder; {EXPECTED}")
    classes, others = _class_names(root / "train"), _class_names(root / "test")
    if classes != others:
        only_train, only_test = sorted(set(classes) - set(others)), sorted(set(others) - set(classes))
        raise ValueError(
            f"{root}: train and test must have the same classes; only in train: {only_train}, only in test: {only_test}"
        )
    return ImageFolder(root, classes, {split: _split_files(root / split, classes) for split in ("train", "test")})


def _decode(path: Path) -> npt.NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode} has more than 8 bits per channel")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be decoded as an image: {error}") from error


def _decode_all(files: list[tuple[Path, int]], *, what: str, shape: tuple[int, ...] | None) -> Tensor:
    from rich.console import Console
    from rich.progress import track

    shape = shape or _decode(files[0][0]).shape
    pixels = np.empty((len(files), *shape), dtype=np.uint8)
    console = Console(stderr=True)
    quiet = not sys.stderr.isatty()
    for index, (path, _) in enumerate(track(files, description=what, console=console, disable=quiet)):
        image = _decode(path)
        if image.shape != shape:
            size, first = f"{image.shape[1]} x {image.shape[0]}", f"{shape[1]} x {shape[0]}"
            raise ValueError(f"{path} has {size} pixels, the images before it {first}; all must have one size")
        pixels[index] = image
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def load_imagefolder(folder: ImageFolder) -> DataSet:
    """Decode the images of `folder` to RGB.

    Raises:
        ValueError: a file cannot be decoded, or images differ in size; the text names the file.
    """
    train, test = folder.files["train"], folder.files["test"]
    train_images = _decode_all(train, what=f"decode {folder.root.name}/train", shape=None)
    height, width = train_images.shape[2:]
    return DataSet(
        train_images=train_images,
        train_labels=torch.tensor([label for _, label in train]),
        test_images=_decode_all(test, what=f"decode {folder.root.name}/test", shape=(height, width, 3)),
        test_labels=torch.tensor([label for _, label in test]),
        classes=folder.classes,
        name=folder.root.name,
    )
