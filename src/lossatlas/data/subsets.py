"""Parts of a data set, the same for the same seed on every machine and with every version of the libraries."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lossatlas.data.dataset import DataSet
from lossatlas.randomness import derived_seed

SubsetKind = Literal["first", "stratified"]


def class_quotas(counts: list[int], *, total: int) -> list[int]:
    """Share `total` images among classes in proportion to `counts`, by the largest remainder.

    Ties go to the earlier class. A class that would be left empty takes one image from the largest share, so that no
    class that has images disappears.

    Args:
        counts: the number of images of each class.
        total: how many to share out.

    Raises:
        ValueError: `total` is larger than there are images, or smaller than there are classes with images.
    """
    available, present = sum(counts), sum(count > 0 for count in counts)
    if not present <= total <= available:
        bound = f"{present} (the classes with images) to {available} (the images)"
        raise ValueError(f"total = {total} cannot be shared among the classes; choose {bound}")
    quotas = [total * count // available for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda index: -(total * counts[index] % available))
    for index in by_remainder[: total - sum(quotas)]:
        quotas[index] += 1
    for index, count in enumerate(counts):
        if count and not quotas[index]:
            quotas[quotas.index(max(quotas))] -= 1
            quotas[index] = 1
    return quotas


def stratified_indices(labels: Tensor, *, total: int, seed: int, stream: str) -> Tensor:
    """Choose `total` places of `labels` with the classes' proportions, in ascending order.

    Each place has a fixed rank, a hash of the seed, the stream and the place; a class gives its lowest ranks. So the
    choice depends on no library's random numbers.

    Args:
        labels: (n,) class indices.
        total: how many to choose.
        seed: the seed of the choice.
        stream: the name of the choice, so that two with one seed are unrelated.

    Raises:
        ValueError: `total` is larger than there are labels, or smaller than there are classes.
    """
    members: list[list[int]] = [[] for _ in range(int(labels.max()) + 1)]
    for place, label in enumerate(labels.tolist()):
        members[label].append(place)
    quotas = class_quotas([len(places) for places in members], total=total)
    chosen: list[int] = []
    for places, quota in zip(members, quotas, strict=True):
        chosen += sorted(places, key=lambda place: derived_seed(seed, stream, place))[:quota]
    return torch.tensor(sorted(chosen))


def _indices(labels: Tensor, total: int | None, how: SubsetKind, seed: int, split: str, name: str) -> Tensor | slice:
    if total is None:
        return slice(None)
    low = 1 if how == "first" else len(set(labels.tolist()))
    if not low <= total <= len(labels):
        why = f"; {how} needs one image of each of the {low} classes at least" if low > 1 else ""
        raise ValueError(f"{split} = {total} of {name} is impossible: choose {low} to {len(labels)}{why}")
    if how == "first":
        return slice(total)
    return stratified_indices(labels, total=total, seed=seed, stream=f"subset/{split}")


def subset(
    dataset: DataSet, *, train: int | None = None, test: int | None = None, how: SubsetKind = "first", seed: int = 0
) -> DataSet:
    """Return the data set with fewer images, in their original order.

    Args:
        dataset: the whole data set.
        train: how many training images to keep; None keeps all.
        test: how many test images to keep; None keeps all.
        how: `first` keeps the first ones; `stratified` keeps the classes' proportions and chooses by `seed`.
        seed: the seed of the stratified choice.

    Raises:
        ValueError: a number is larger than there are images, or too small; or `how` is unknown.
    """
    if how not in ("first", "stratified"):
        raise ValueError(f"how = {how!r} is not a way to choose images; use 'first' or 'stratified'")
    kept_train = _indices(dataset.train_labels, train, how, seed, "train", dataset.name)
    kept_test = _indices(dataset.test_labels, test, how, seed, "test", dataset.name)
    return replace(
        dataset,
        train_images=dataset.train_images[kept_train],
        train_labels=dataset.train_labels[kept_train],
        test_images=dataset.test_images[kept_test],
        test_labels=dataset.test_labels[kept_test],
    )
