"""Random crops and flips of a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def augment(images: Tensor, generator: torch.Generator, *, padding: int = 4, flip: bool = True) -> Tensor:
    """Shift each image at random by up to `padding` pixels in each direction and mirror every second one.

    The papers' augmentation: pad with black, crop a window of the image's size at a uniformly random place, flip
    horizontally with probability one half. It works on raw pixels, so that the border is black as in the authors'
    programs; normalize afterwards.

    Args:
        images: (n, c, h, w) uint8, on any device.
        generator: a CPU generator; the random numbers are drawn on the CPU, so they do not depend on the device.
        padding: the width of the black border; 4 in the papers, for 32 x 32 pixels. 0 does not shift.
        flip: whether to mirror images.

    Returns:
        (n, c, h, w) uint8, a new tensor on the images' device.

    Raises:
        ValueError: `images` is not a uint8 batch, or `padding` is negative or not smaller than the images.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"images must be (n, c, h, w) torch.uint8, not {tuple(images.shape)} {images.dtype}: "
            "augment raw pixels, normalize afterwards"
        )
    count, _, height, width = images.shape
    limit = min(height, width) - 1
    if not 0 <= padding <= limit:
        reason = "a larger border could push an image out of its own window"
        raise ValueError(f"padding = {padding} must lie in 0 to {limit} for {width} x {height} pixels: {reason}")
    corners = torch.randint(2 * padding + 1, (count, 2), generator=generator).to(images.device)
    windows = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # (n, c, 2p+1, 2p+1, h, w), a view
    each = torch.arange(count, device=images.device)
    crops = windows[each, :, corners[:, 0], corners[:, 1]]  # (n, c, h, w)
    if not flip:
        return crops
    mirrored = torch.randint(2, (count,), generator=generator).bool().to(images.device)
    return torch.where(mirrored[:, None, None, None], crops.flip(3), crops)
