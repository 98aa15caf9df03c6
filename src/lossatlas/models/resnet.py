"""Residual networks for CIFAR, with or without shortcuts, of any depth and width (Li et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm; the input is added before the last ReLU if `shortcut`."""

    def __init__(self, channels_in: int, channels: int, *, stride: int, shortcut: bool) -> None:
        """Create the block; a shortcut over a change of shape is a 1x1 convolution with batch norm."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Sequential | None = None
        if shortcut:
            self.shortcut = nn.Sequential()
            if stride != 1 or channels_in != channels:
                self.shortcut.append(nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False))
                self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels, h / stride, w / stride)."""
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return torch.relu(out)


class ResNet(nn.Module):
    """ResNet of depth 6n+2 with three stages of n basic blocks (He et al. 2016, section 4.2).

    `shortcut=False` gives the "noshort" networks of Li et al. 2018, figures 5 to 7. `width=k` multiplies all channel
    counts, the stem's included: their Wide-ResNet-56-k, and the Wide-ResNet-32-4 of Huang et al. 2017. Names are those
    in the checkpoints of Li et al.'s program, which load unchanged.
    """

    def __init__(
        self,
        *,
        depth: int = 56,
        shortcut: bool = True,
        width: int = 1,
        base_width: int = 16,
        num_classes: int = 10,
        input_size: int = 32,
    ) -> None:
        """Create the network; `input_size` is not needed, the last map is averaged whatever its size."""
        super().__init__()
        blocks = (depth - 2) // 6
        channels = base_width * width
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = _stage(channels, channels, blocks, stride=1, shortcut=shortcut)
        self.layer2 = _stage(channels, 2 * channels, blocks, stride=2, shortcut=shortcut)
        self.layer3 = _stage(2 * channels, 4 * channels, blocks, stride=2, shortcut=shortcut)
        self.linear = nn.Linear(4 * channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to logits (n, num_classes)."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels: int, blocks: int, *, stride: int, shortcut: bool) -> nn.Sequential:
    first = BasicBlock(channels_in, channels, stride=stride, shortcut=shortcut)
    rest = (BasicBlock(channels, channels, stride=1, shortcut=shortcut) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
