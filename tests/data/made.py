"""Small data sets in the real file formats."""

import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lossatlas.data import DataSet


def random_dataset(train=12, test=6, classes=3, size=5, seed=0, name="made"):
    generator = torch.Generator().manual_seed(seed)

    def images(n):
        return torch.randint(256, (n, 3, size, size), generator=generator).to(torch.uint8)

    def labels(n):
        return torch.arange(n) % classes

    names = tuple(f"class{index}" for index in range(classes))
    return DataSet(images(train), labels(train), images(test), labels(test), names, name)


def write_png(path: Path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def _python2_string(text: bytes) -> bytes:
    short = len(text) < 256
    return (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text


def _python2(value) -> bytes:
    """The opcodes by which Python 2 wrote the CIFAR files: byte strings, and NumPy's old module names."""
    if isinstance(value, str):
        return _python2_string(value.encode())
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(key) + _python2(item) for key, item in value.items()) + b"u"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(b"J" + struct.pack("<i", length) for length in value.shape) + b"\x86"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + _python2_string(value.tobytes()) + b"tb"


def python2_pickle(value) -> bytes:
    return b"\x80\x02" + _python2(value) + b"."


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class MadeCifar:
    """An archive with the original's names and form, and torchvision told its checksums."""

    def __init__(self, kind, folder: Path, monkeypatch, *, per_batch=4):
        import torchvision.datasets

        self.source = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[kind]
        self.pixels, self.labels = {}, {}
        generator = np.random.default_rng(0)
        label_key = "labels" if kind == "cifar10" else "fine_labels"
        classes = 10 if kind == "cifar10" else 100
        self.classes = [f"kind {index}" for index in range(classes)]
        names = [name for name, _ in [*self.source.train_list, *self.source.test_list]]
        files = {self.source.meta["filename"]: python2_pickle({self.source.meta["key"]: self.classes})}
        for name in names:
            self.pixels[name] = generator.integers(0, 256, (per_batch, 3072), dtype=np.uint8)
            self.labels[name] = generator.integers(0, classes, per_batch).tolist()
            files[name] = python2_pickle({"data": self.pixels[name], label_key: self.labels[name], "batch_label": name})
        self.folder = folder
        self.archive = folder / self.source.filename
        self._pack(files)
        self._announce(files, monkeypatch)

    def _pack(self, files):
        self.folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.archive, "w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(f"{self.source.base_folder}/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    def _announce(self, files, monkeypatch):
        for attribute in ("train_list", "test_list"):
            listed = [[name, _md5(files[name])] for name, _ in getattr(self.source, attribute)]
            monkeypatch.setattr(self.source, attribute, listed)
        meta = {**self.source.meta, "md5": _md5(files[self.source.meta["filename"]])}
        monkeypatch.setattr(self.source, "meta", meta)
        monkeypatch.setattr(self.source, "tgz_md5", _md5(self.archive.read_bytes()))

    def batch(self, name) -> Path:
        return self.folder / self.source.base_folder / name

    def expected(self, names):
        pixels = np.concatenate([self.pixels[name] for name in names]).reshape(-1, 3, 32, 32)
        return torch.from_numpy(pixels), torch.tensor(sum((self.labels[name] for name in names), []))
