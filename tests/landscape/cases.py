"""Golden values, and a small network with its data."""

import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from engine.cases import CLASSES, examples, made
from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.landscape.directions import Direction
from lossatlas.models import build
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.weights import weights_hash

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED = Path(__file__).parents[2].parent / "shared"
# the archive's folders, in the order of CIFAR-10's labels
CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def small_model(**options):
    """A ResNet-8 with arbitrary weights and running statistics, in float64."""
    options = {"depth": 8, "base_width": 2, "num_classes": CLASSES, "input_size": 8} | options
    return made(lambda: build("resnet", **options))


def small_data(n=7, **options):
    return examples(n, **options)


def golden_model(name="resnet20_bs128_wd5e-4_model_12.t7"):
    return load_checkpoint(GOLDEN / name, family="resnet", depth=20).build()


def golden_digits(n=256):
    """The digits as tests/golden/README.md describes them."""
    raw = load_digits()
    small = torch.from_numpy(raw.images[:n] / 16).float()
    large = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) / 255 for v in ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)))
    return (large[:, None].expand(-1, 3, -1, -1) - mean) / std, torch.from_numpy(raw.target[:n].astype(np.int64))


def golden_cifar(n=512):
    """The first n training images of CIFAR-10, normalized, and their labels."""
    images, labels = {}, {}
    with tarfile.open(SHARED / "data/cifar10-8k.tar.xz") as tar:
        for member in tar:
            path = Path(member.name)
            if "train" in path.parts and path.suffix == ".png" and int(path.stem) < n:
                images[int(path.stem)] = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())))
                labels[int(path.stem)] = CIFAR_CLASSES.index(path.parent.name)
    pixels = torch.from_numpy(np.stack([images[i] for i in range(n)])).permute(0, 3, 1, 2)
    return normalize(pixels, NORMALIZATIONS["li"]), torch.tensor([labels[i] for i in range(n)])


def golden_direction(path, key, model):
    """A stored direction; its arrays are in the order of the network's parameters."""
    names = [name for name, _ in model.named_parameters()]
    with h5py.File(path) as file:
        group = file["directions"][key]
        assert len(group) == len(names)
        tensors = {name: torch.from_numpy(group[str(i)][()]) for i, name in enumerate(names)}
    kind = key.rpartition("_")[0]
    return Direction(tensors=tensors, weights=weights_hash(model.state_dict()), kind="random", normalization=kind)
