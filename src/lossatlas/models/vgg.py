"""VGG networks for CIFAR (Simonyan and Zisserman 2015) with the heads of Li et al. and of Garipov et al. 2018."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

# Per depth the blocks between poolings: how many convolutions, and their channels in multiples of the base width.
BLOCKS = {
    9: ((2, 1), (2, 2), (3, 4)),
    16: ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)),
    19: ((2, 1), (2, 2), (4, 4), (4, 8), (4, 8)),
}


class VGG(nn.Module):
    """VGG-9, 16 or 19: blocks of 3x3 convolutions with bias, a 2x2 max pool after each.

    - variant "li" (Li et al. 2018; depth 9 in figures 2, 3 and 9 to 15): batch norm throughout, one hidden layer as
      wide as the last map, with batch norm.
    - variant "garipov" (Garipov et al. 2018, table 1, depth 16 without batch norm): two hidden layers with dropout
      before each, batch norm after the convolutions only if `batch_norm`.

    A pool rounds its output size up, so that a map of one pixel passes it unchanged and 8x8 images survive five pools;
    at 32x32 this is the papers' network.
    """

    def __init__(
        self,
        *,
        depth: Literal[9, 16, 19] = 9,
        variant: Literal["li", "garipov"] = "li",
        batch_norm: bool = True,
        base_width: int = 64,
        num_classes: int = 10,
        input_size: int = 32,
    ) -> None:
        """Create the network for images of `input_size` pixels a side."""
        super().__init__()
        blocks = BLOCKS[depth]
        self.features = _features(blocks, base_width, batch_norm=batch_norm)
        side = input_size
        for _ in blocks:
            side = (side + 1) // 2
        hidden = base_width * blocks[-1][1]
        flat = hidden * side * side
        if variant == "li":
            self.fc = nn.Sequential(nn.Linear(flat, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        else:
            self.fc = nn.Sequential(
                nn.Dropout(), nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU()
            )
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, input_size, input_size) to logits (n, num_classes)."""
        x = torch.flatten(self.features(x), 1)
        logits: Tensor = self.classifier(self.fc(x))
        return logits


def _features(blocks: tuple[tuple[int, int], ...], base_width: int, *, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels_in = 3
    for convolutions, factor in blocks:
        channels = factor * base_width
        for _ in range(convolutions):
            layers.append(nn.Conv2d(channels_in, channels, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU())
            channels_in = channels
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)
