"""A data set in memory, and the evidence of what it holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossatlas.files import sha256_json


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().data).hexdigest()


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images and labels of one classification task, undecorated: no normalization, no augmentation.

    Attributes:
        train_images: raw pixels of the training images, 0 to 255.
        train_labels: index into `classes` of each training image.
        test_images: raw pixels of the test images, 0 to 255.
        test_labels: index into `classes` of each test image.
        classes: the classes' names.
        name: what the report calls the data.

    Raises:
        ValueError: a field has the wrong shape, type or length, or a label names no class.
    """

    train_images: Tensor  # (n, 3, h, w) uint8
    train_labels: Tensor  # (n,) int64
    test_images: Tensor  # (m, 3, h, w) uint8
    test_labels: Tensor  # (m,) int64
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"{self.name}: classes must be different names, at least one, not {self.classes}")
        for split, images, labels in self._splits():
            self._check(split, images, labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            train, test = tuple(self.train_images.shape[1:]), tuple(self.test_images.shape[1:])
            raise ValueError(f"{self.name}: training images are {train}, test images {test}; they must be alike")

    def _splits(self) -> tuple[tuple[str, Tensor, Tensor], ...]:
        return (("train", self.train_images, self.train_labels), ("test", self.test_images, self.test_labels))

    def _check(self, split: str, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            found = f"{tuple(images.shape)} {images.dtype}"
            raise ValueError(f"{self.name}: {split}_images must be (n, 3, h, w) torch.uint8, not {found}")
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            found = f"{tuple(labels.shape)} {labels.dtype}"
            raise ValueError(f"{self.name}: {split}_labels must be ({len(images)},) torch.int64, not {found}")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.num_classes:
            bound = f"0 to {self.num_classes - 1} ({self.num_classes} classes)"
            raise ValueError(f"{self.name}: {split}_labels must lie in {bound}, found {low} to {high}")

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        return self.train_images.shape[2], self.train_images.shape[3]

    def _tensors(self) -> dict[str, Any]:
        return {
            f"{split}_{part}": {"shape": list(tensor.shape), "sha256": _sha256(tensor)}
            for split, images, labels in self._splits()
            for part, tensor in (("images", images), ("labels", labels))
        }

    def fingerprint(self) -> str:
        """Return the hexadecimal SHA-256 over all pixels, labels, shapes and class names (`name` does not count)."""
        return sha256_json({"classes": self.classes, "tensors": self._tensors()})

    def manifest(self) -> dict[str, Any]:
        """Return the evidence of what the data set holds, as plain JSON values."""
        tensors = self._tensors()
        counts = {split: labels.bincount(minlength=self.num_classes).tolist() for split, _, labels in self._splits()}
        return {
            "name": self.name,
            "classes": list(self.classes),
            "image_shape": list(self.train_images.shape[1:]),
            "count": {split: sum(per_class) for split, per_class in counts.items()},
            "count_per_class": {
                split: dict(zip(self.classes, per_class, strict=True)) for split, per_class in counts.items()
            },
            "tensors": tensors,
            "sha256": sha256_json({"classes": self.classes, "tensors": tensors}),
        }
