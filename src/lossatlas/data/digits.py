"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np
import torch

from lossatlas.data.dataset import DataSet
from lossatlas.data.subsets import stratified_indices

SPLIT_SEED = 0
TRAIN_FRACTION = 0.8


def load_digits() -> DataSet:
    """Return the digits, their 17 grey levels scaled to 0..255 and repeated in three equal channels.

    The data have no split of their own: four fifths of each class, chosen by the constant `SPLIT_SEED`, are the
    training images (1,438), the rest the test images (359); both keep the original order.
    """
    from sklearn.datasets import load_digits as read

    raw = read()
    levels = np.rint(raw.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    images = torch.from_numpy(levels)[:, None].repeat(1, 3, 1, 1)
    labels = torch.from_numpy(raw.target.astype(np.int64))
    train = torch.zeros(len(labels), dtype=torch.bool)
    total = round(TRAIN_FRACTION * len(labels))
    train[stratified_indices(labels, total=total, seed=SPLIT_SEED, stream="digits split")] = True
    return DataSet(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[~train],
        test_labels=labels[~train],
        classes=tuple(map(str, raw.target_names)),
        name="digits",
    )
