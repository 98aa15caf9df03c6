"""Random crops and flips of a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Moves:
    """How each of some images is moved.

    Attributes:
        corners: rows and columns of the windows in the padded images, (n, 2) int64.
        mirrored: which images are mirrored, (n,) bool; None for none.
        padding: the width of the black border.
    """

    corners: Tensor
    mirrored: Tensor | None
    padding: int

    def to(self, device: torch.device) -> Moves:
        """Return the same on a device."""
        mirrored = None if self.mirrored is None else self.mirrored.to(device)
        return Moves(self.corners.to(device), mirrored, self.padding)

    def split(self, sizes: Sequence[int]) -> list[Moves]:
        """Return those of successive batches."""
        corners = torch.split(self.corners, list(sizes))
        flips = [None] * len(sizes) if self.mirrored is None else torch.split(self.mirrored, list(sizes))
        return [Moves(c, m, self.padding) for c, m in zip(corners, flips, strict=True)]


def draw_moves(sizes: Sequence[int], generator: torch.Generator, *, padding: int = 4, flip: bool = True) -> Moves:
    """Draw the moves of batches of these sizes, all that `augment` would draw for one after the other.

    Args:
        sizes: images per batch, at least one batch.
        generator: a CPU generator; the random numbers are drawn on the CPU, so they do not depend on the device.
        padding: see `augment`.
        flip: see `augment`.

    Raises:
        ValueError: `padding` is negative.
    """
    if padding < 0:
        raise ValueError(f"padding = {padding} must be at least 0")
    corners, flips = [], []
    for count in sizes:
        corners.append(torch.randint(2 * padding + 1, (count, 2), generator=generator))
        if flip:
            flips.append(torch.randint(2, (count,), generator=generator).bool())
    return Moves(torch.cat(corners), torch.cat(flips) if flip else None, padding)


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
    _require(images, padding)
    return moved(images, draw_moves([len(images)], generator, padding=padding, flip=flip).to(images.device))


def moved(images: Tensor, moves: Moves) -> Tensor:
    """Move images as drawn; on a GPU this waits for nothing if the moves lie there.

    Args:
        images: (n, c, h, w) uint8.
        moves: of the same n images, on the same device.

    Returns:
        (n, c, h, w) uint8, a new tensor.

    Raises:
        ValueError: see `augment`.
    """
    _require(images, moves.padding)
    count, _, height, width = images.shape
    # a view, (n, c, 2p+1, 2p+1, h, w)
    windows = pad(images, (moves.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    each = torch.arange(count, device=images.device)
    crops = windows[each, :, moves.corners[:, 0], moves.corners[:, 1]]  # (n, c, h, w)
    if moves.mirrored is None:
        return crops
    return torch.where(moves.mirrored[:, None, None, None], crops.flip(3), crops)


def _require(images: Tensor, padding: int) -> None:
    """Refuse what cannot be augmented."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(
            f"images must be (n, c, h, w) torch.uint8, not {tuple(images.shape)} {images.dtype}: "
            "augment raw pixels, normalize afterwards"
        )
    height, width = images.shape[2:]
    limit = min(height, width) - 1
    if not 0 <= padding <= limit:
        reason = "a larger border could push an image out of its own window"
        raise ValueError(f"padding = {padding} must lie in 0 to {limit} for {width} x {height} pixels: {reason}")
