"""The genuine CIFAR-10 images, where a copy lies beside the repository."""

import tarfile
from pathlib import Path

import pytest

from lossatlas.data import load_dataset

ARCHIVE = Path(__file__).parents[2].parent / "shared/data/cifar10-8k.tar.xz"


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the archive with real images is not here")
def test_real_images(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        # the filter came with Python 3.11.4
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    dataset = load_dataset("imagefolder", root=tmp_path / "cifar10-8k", cache=tmp_path / "cache")
    assert (len(dataset.train_images), len(dataset.test_images)) == (8068, 1017)
    assert dataset.image_size == (32, 32)
    assert dataset.classes[:3] == ("airplane", "automobile", "bird")
    # The well-known beginning of the original files: frog, truck, truck, deer, ... and cat, ship, ship, airplane, ...
    assert dataset.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert dataset.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert dataset.train_images[0, :, 0, 0].tolist() == [59, 62, 63]
