import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from .made import random_dataset


def test_sizes():
    dataset = random_dataset(classes=3, size=5)
    assert dataset.num_classes == 3
    assert dataset.image_size == (5, 5)


def test_fingerprint_covers_everything_but_the_name():
    dataset = random_dataset()
    assert dataset.fingerprint() == random_dataset().fingerprint()
    assert dataset.fingerprint() == replace(dataset, name="other").fingerprint()
    changed = dataset.train_images.clone()
    changed[0, 0, 0, 0] ^= 1
    others = [
        replace(dataset, train_images=changed),
        replace(dataset, train_labels=dataset.train_labels.flip(0)),
        replace(dataset, test_images=dataset.test_images.flip(0)),
        replace(dataset, test_labels=dataset.test_labels.flip(0)),
        replace(dataset, classes=("a", "b", "c")),
        replace(
            dataset,
            train_images=dataset.train_images.reshape(12, 3, 1, 25),
            test_images=dataset.test_images.reshape(6, 3, 1, 25),
        ),
    ]
    assert len({dataset.fingerprint(), *(other.fingerprint() for other in others)}) == 1 + len(others)


def test_fingerprint_does_not_depend_on_the_layout_in_memory():
    dataset = random_dataset()
    strided = replace(dataset, train_images=dataset.train_images.contiguous(memory_format=torch.channels_last))
    assert strided.fingerprint() == dataset.fingerprint()


def test_manifest_is_plain_json_with_counts():
    dataset = random_dataset(train=7, test=4, classes=3)
    manifest = dataset.manifest()
    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["count"] == {"train": 7, "test": 4}
    assert manifest["count_per_class"]["train"] == {"class0": 3, "class1": 2, "class2": 2}
    assert manifest["image_shape"] == [3, 5, 5]
    assert manifest["sha256"] == dataset.fingerprint()
    assert manifest["tensors"]["test_labels"]["shape"] == [4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(12, 1, 5, 5, dtype=torch.uint8)}, r"train_images must be \(n, 3, h, w\)"),
        ({"test_images": torch.zeros(6, 3, 5, 5)}, r"test_images must be .* not \(6, 3, 5, 5\) torch.float32"),
        ({"train_labels": torch.zeros(11, dtype=torch.int64)}, r"train_labels must be \(12,\) torch.int64"),
        ({"test_labels": torch.zeros(6, dtype=torch.int32)}, "torch.int64, not .* torch.int32"),
        ({"test_labels": torch.full((6,), 3)}, r"0 to 2 \(3 classes\), found 3 to 3"),
        ({"classes": ("a", "a", "b")}, "different names"),
        ({"test_images": torch.zeros(6, 3, 4, 4, dtype=torch.uint8)}, "they must be alike"),
        ({"test_images": torch.zeros(0, 3, 5, 5, dtype=torch.uint8)}, "test_images must be"),
    ],
)
def test_impossible_fields_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(random_dataset(), **changes)


def test_importing_needs_no_image_library():
    program = (
        "import sys\n"
        "blocked = ('torchvision', 'sklearn', 'PIL', 'safetensors', 'rich', 'hydra', 'mlflow', 'matplotlib')\n"
        "sys.modules.update(dict.fromkeys(blocked))\n"
        "import lossatlas.data\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
