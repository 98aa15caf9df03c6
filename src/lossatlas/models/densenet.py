"""Densely connected networks for CIFAR (Li et al. 2018; Huang et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOUR_BLOCKS_121 = (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """Compute `growth` new maps from all earlier ones and put them in front."""

    def __init__(self, channels_in: int, growth: int, *, bottleneck: bool) -> None:
        """Create one 3x3 convolution, or with `bottleneck` a 1x1 convolution to 4 * growth maps and then the 3x3."""
        super().__init__()
        self.bottleneck = bottleneck
        middle = 4 * growth if bottleneck else growth
        self.bn1 = nn.BatchNorm2d(channels_in)
        kernel, padding = (1, 0) if bottleneck else (3, 1)
        self.conv1 = nn.Conv2d(channels_in, middle, kernel, padding=padding, bias=False)
        if bottleneck:
            self.bn2 = nn.BatchNorm2d(middle)
            self.conv2 = nn.Conv2d(middle, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, growth + channels_in, h, w)."""
        new = self.conv1(torch.relu(self.bn1(x)))
        if self.bottleneck:
            new = self.conv2(torch.relu(self.bn2(new)))
        return torch.cat([new, x], 1)


class Transition(nn.Module):
    """Batch norm, ReLU, a 1x1 convolution and a 2x2 average pool between two dense blocks."""

    def __init__(self, channels_in: int, channels: int) -> None:
        """Create the transition from `channels_in` maps to `channels`."""
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.conv = nn.Conv2d(channels_in, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels, h / 2, w / 2)."""
        return F.avg_pool2d(self.conv(torch.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """DenseNet-121 in the CIFAR form of Li et al. 2018, or the three-block networks of the snapshot ensembles.

    Depth 121 has four blocks of 6, 12, 24 and 16 layers; its names are those in Li et al.'s program. Any other depth
    has three equal blocks: 3n+4 without bottlenecks (DenseNet-40 with growth 12, DenseNet-100 with growth 24 in Huang
    et al. 2017, table 1), 6n+4 with them. Bottlenecks come with halved maps at the transitions and a stem of
    2 * growth maps (DenseNet-BC); without them nothing is halved and the stem has 16.
    """

    def __init__(
        self,
        *,
        depth: int = 121,
        growth: int = 32,
        bottleneck: bool = True,
        num_classes: int = 10,
        input_size: int = 32,
    ) -> None:
        """Create the network; `input_size` is not needed, the last map is averaged whatever its size."""
        super().__init__()
        layers = (depth - 4) // (6 if bottleneck else 3)
        self.blocks = FOUR_BLOCKS_121 if depth == 121 else (layers,) * 3
        channels = 2 * growth if bottleneck else 16
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        for number, count in enumerate(self.blocks, start=1):
            inputs = range(channels, channels + count * growth, growth)
            dense = (DenseLayer(channels_in, growth, bottleneck=bottleneck) for channels_in in inputs)
            self.add_module(f"dense{number}", nn.Sequential(*dense))
            channels += count * growth
            if number < len(self.blocks):
                fewer = channels // 2 if bottleneck else channels
                self.add_module(f"trans{number}", Transition(channels, fewer))
                channels = fewer
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to logits (n, num_classes)."""
        x = self.conv1(x)
        for number in range(1, len(self.blocks) + 1):
            x = self.get_submodule(f"dense{number}")(x)
            if number < len(self.blocks):
                x = self.get_submodule(f"trans{number}")(x)
        x = torch.relu(self.bn(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits
