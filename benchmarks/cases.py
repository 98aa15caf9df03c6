"""The networks and images that are measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.data import NORMALIZATIONS, DataSet, load_dataset, normalize
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.models import build
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator

ROOT = Path(__file__).resolve().parents[1]
_SHIFTS = 7 * 7  # from -3 to 3 pixels in each direction
GOLDEN = ROOT / "tests" / "golden" / "resnet20_bs128_wd5e-4_model_12.t7"


def network(name: str) -> nn.Module:
    """Return a network by a short name, such as `resnet56`, `resnet20w4` (base width 4), `vgg9` or `densenet121`.

    `resnet20` comes trained on CIFAR-10 images; the others have the weights that a training begins with.
    """
    if name == "resnet20":
        return load_checkpoint(GOLDEN, family="resnet", depth=20).build()
    found = re.fullmatch(r"(resnet|vgg|densenet)(\d+)(?:w(\d+))?", name)
    if not found:
        raise ValueError(f"network {name!r} is unknown; for example resnet56, resnet20w4, vgg9 or densenet121")
    family, depth, width = found.groups()
    model = build(family, depth=int(depth), **({"base_width": int(width)} if width else {}))
    initialize(model, scheme="li", generator=generator(0, "init"))
    return model.eval()


@dataclass(frozen=True)
class Images:
    """Pixels, labels and what to call them."""

    pixels: Tensor  # (n, 3, 32, 32) uint8
    labels: Tensor  # (n,) int64
    source: str

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def normalized(self) -> tuple[Tensor, Tensor]:
        """Return inputs and labels as the package takes them."""
        return normalize(self.pixels, NORMALIZATIONS["li"]), self.labels


_FIELDS = ("train_images", "train_labels", "test_images", "test_labels")


def data_set(place: str | None) -> DataSet:
    """Return the images of a folder or of an `.npz` file, or scikit-learn's digits where there is neither.

    The file holds `train_images` and `test_images`, (n, h, w, 3) or (n, 3, h, w) uint8, `train_labels`, `test_labels`.

    Raises:
        ValueError: the file lacks an array.
    """
    if not place:
        return load_dataset("digits", cache=ROOT / ".lossatlas" / "data")
    if not place.endswith(".npz"):
        return load_dataset("imagefolder", root=Path(place), cache=ROOT / ".lossatlas" / "data")
    with np.load(place) as file:
        missing = [name for name in _FIELDS if name not in file]
        if missing:
            raise ValueError(f"{place} has no array {missing[0]!r}; it must hold {', '.join(_FIELDS)}")
        arrays = {name: torch.from_numpy(np.array(file[name])) for name in _FIELDS}
    for name in ("train_images", "test_images"):
        if arrays[name].shape[-1] == 3:
            arrays[name] = arrays[name].permute(0, 3, 1, 2).contiguous()
    labels = {name: arrays[name].to(torch.int64) for name in ("train_labels", "test_labels")}
    classes = tuple(str(i) for i in range(int(max(values.max() for values in labels.values())) + 1))
    return DataSet(**{**arrays, **labels}, classes=classes, name=Path(place).name)


def images(folder: str | None, n: int, *, split: str = "train") -> Images:
    """Return `n` images of `data_set`.

    Digits have each pixel repeated to 32 x 32. Where there are too few images, shifted copies follow.
    """
    data = data_set(folder)
    source = f"images of {data.name}" if folder else "scikit-learn's digits, each pixel repeated to 32 x 32"
    pixels, labels = (getattr(data, f"{split}_{part}") for part in ("images", "labels"))
    if pixels.shape[-1] != 32:
        pixels = pixels.repeat_interleave(32 // pixels.shape[-1], 2).repeat_interleave(32 // pixels.shape[-1], 3)
    if n > len(labels):
        source += f", {len(labels)} of them and copies shifted by up to 3 pixels"
        if n > _SHIFTS * len(labels):
            raise ValueError(f"{n} images are too many; {len(labels)} and their shifted copies make {_SHIFTS} as many")
        copies = [torch.roll(pixels, (k % 7 - 3, k // 7 % 7 - 3), (2, 3)) for k in _shifts(-(-n // len(labels)))]
        pixels, labels = torch.cat(copies), labels.repeat(len(copies))
    return Images(pixels[:n].contiguous(), labels[:n].contiguous(), source)


def _shifts(count: int) -> list[int]:
    """Return the numbers of `count` different shifts, that by nothing first."""
    return [_SHIFTS // 2, *(k for k in range(_SHIFTS) if k != _SHIFTS // 2)][:count]


def axes(model: nn.Module) -> tuple[Direction, Direction]:
    """Return the two random directions of a plane."""
    x, y = (random_direction(model.state_dict(), seed=0, stream=f"direction_{axis}") for axis in "xy")
    return x, y


def listed(model: nn.Module, directions: tuple[Direction, Direction]) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return weights and directions as lists in the order of the parameters, as the plain loop takes them."""
    weights = [p.detach().clone() for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    moves = [[d.tensors.get(n, torch.zeros_like(w)) for n, w in zip(names, weights, strict=True)] for d in directions]
    return weights, moves


def operations(model: nn.Module, pixels: Tensor) -> float:
    """Return the operations of convolutions and linear layers for one image: two per multiply and add."""
    counts: list[float] = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        per_output = module.weight[0].numel()
        counts.append(2.0 * per_output * output[0].numel())

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    try:
        with torch.no_grad():
            model.eval()(normalize(pixels[:1], NORMALIZATIONS["li"]))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)
