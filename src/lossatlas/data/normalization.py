"""From raw pixels to the numbers that a network sees."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

NormalizationName = Literal["li", "imagenet", "cifar", "unit"]
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of the red, green and blue channel, for pixels between 0 and 1."""

    mean: Channels
    std: Channels


NORMALIZATIONS: Mapping[NormalizationName, Normalization] = MappingProxyType(
    {
        # Li et al. 2018, the authors' data loader: moments of CIFAR-10's training pixels, on the scale of 255.
        "li": Normalization(
            mean=(125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0), std=(63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0)
        ),
        # Garipov et al. 2018, the authors' transforms for VGG: the usual ImageNet constants.
        "imagenet": Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        # Garipov et al. 2018, the authors' transforms for residual networks. The deviations are the widespread ones,
        # means of the single images' deviations; those of all pixels are (0.2470, 0.2435, 0.2616).
        "cifar": Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
        # Plain division by 255.
        "unit": Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    }
)


def normalize(images: Tensor, normalization: Normalization, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return `(images / 255 - mean) / std`, bit for bit what torchvision's `ToTensor` and `Normalize` give.

    The arithmetic is in float32 whatever `dtype` is, so a float64 network sees the same inputs as a float32 one.

    Args:
        images: (n, 3, h, w) uint8, on any device.
        normalization: the constants, for example `NORMALIZATIONS["li"]`.
        dtype: the result's type.

    Returns:
        (n, 3, h, w) of `dtype`, on the images' device.

    Raises:
        ValueError: `images` is not a uint8 batch with three channels.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (n, 3, h, w) torch.uint8, not {tuple(images.shape)} {images.dtype}")
    scale, mean, std = _constants(normalization, images.device)
    return images.to(torch.float32).div_(scale).sub_(mean).div_(std).to(dtype)


@functools.lru_cache(maxsize=64)
def _constants(normalization: Normalization, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return 255, means and deviations on a device, where they stay: to bring them there makes the host wait."""
    # Divisors are tensors on the device: by a Python number CUDA multiplies with the rounded reciprocal instead.
    with torch.inference_mode(False):
        channels = [
            torch.tensor(values, device=device)[:, None, None] for values in (normalization.mean, normalization.std)
        ]
        return torch.tensor(255.0, device=device), channels[0], channels[1]
