"""Logits of the original authors' program, see tests/golden/README.md."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lossatlas.models.checkpoint import load_checkpoint

SHARED = Path(__file__).parents[2].parent / "shared"
MEAN = torch.tensor([125.3, 123.0, 113.9]).reshape(3, 1, 1) / 255
STD = torch.tensor([63.0, 62.1, 66.7]).reshape(3, 1, 1) / 255
# The golden values are float32; float64 logits of the same float32 images lie within their stated tolerance (measured:
# 0.7 of it), whatever the machine. Float32 logits depend on the kernel: 0.9 of it with oneDNN, 6 times it without.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
FLOAT32_TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def digits(count: int) -> torch.Tensor:
    small = torch.from_numpy(load_digits().images[:count] / 16).float()
    large = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return (large[:, None].expand(-1, 3, -1, -1) - MEAN) / STD


def cifar(archive: Path, count: int) -> torch.Tensor:
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name)
            if "train" in name.parts and name.suffix == ".png" and int(name.stem) < count:
                found[int(name.stem)] = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())))
    pixels = torch.from_numpy(np.stack([found[index] for index in range(count)]))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def expected(path: Path) -> torch.Tensor:
    with h5py.File(path) as file:
        return torch.from_numpy(file["logits"][:])


def resnet20(folder: Path) -> torch.nn.Module:
    return load_checkpoint(folder / "resnet20_bs128_wd5e-4_model_12.t7", family="resnet", depth=20).build()


def test_logits_of_the_digits(golden, logits):
    model, images, golden_logits = resnet20(golden), digits(16), expected(golden / "resnet20_digits32.h5")
    torch.testing.assert_close(logits(model, images), golden_logits, **FLOAT32_TOLERANCE)
    torch.testing.assert_close(logits(model.double(), images.double()).float(), golden_logits, **TOLERANCE)


def test_names_come_in_the_order_of_the_original_program(golden):
    loaded = load_checkpoint(golden / "resnet20_bs128_wd5e-4_model_12.t7", family="resnet", depth=20)
    assert list(loaded.build().state_dict()) == list(loaded.state)


def test_both_checkpoints_fit_the_network_and_differ(golden, logits):
    large = load_checkpoint(golden / "resnet20_bs1024_wd5e-4_model_12.t7", family="resnet", depth=20)
    assert large.epoch == 12
    assert not torch.allclose(logits(large.build(), digits(4)), logits(resnet20(golden), digits(4)), atol=0.1)


@pytest.mark.skipif(
    not (SHARED / "golden").is_dir() or not (SHARED / "data").is_dir(),
    reason="the CIFAR images are not beside the repository",
)
def test_logits_of_cifar_images(logits):
    model, images = resnet20(SHARED / "golden"), cifar(SHARED / "data" / "cifar10-8k.tar.xz", 16)
    golden_logits = expected(SHARED / "golden" / "resnet20_bs128_wd5e-4.h5")
    torch.testing.assert_close(logits(model, images), golden_logits, **FLOAT32_TOLERANCE)
    torch.testing.assert_close(logits(model.double(), images.double()).float(), golden_logits, **TOLERANCE)
