"""Pre-activation residual networks with bottleneck blocks (Garipov et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXPANSION = 4


class Bottleneck(nn.Module):
    """Batch norm and ReLU before each of a 1x1, a 3x3 and a widening 1x1 convolution."""

    def __init__(self, channels_in: int, channels: int, *, stride: int) -> None:
        """Create the block; where the shape changes the shortcut is a bare 1x1 convolution of the raw input."""
        super().__init__()
        channels_out = EXPANSION * channels
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        self.downsample = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.downsample.append(nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, 4 * channels, h / stride, w / stride)."""
        out = self.conv1(torch.relu(self.bn1(x)))
        out = self.conv2(torch.relu(self.bn2(out)))
        out = self.conv3(torch.relu(self.bn3(out)))
        total: Tensor = out + self.downsample(x)
        return total


class PreResNet(nn.Module):
    """PreResNet of depth 9n+2 with three stages of n bottleneck blocks (He et al. 2016, "Identity Mappings").

    Depth 164 is the one of Garipov et al. 2018, table 1; names are those in their program.
    """

    def __init__(self, *, depth: int = 164, base_width: int = 16, num_classes: int = 10, input_size: int = 32) -> None:
        """Create the network; `input_size` is not needed, the last map is averaged whatever its size."""
        super().__init__()
        blocks = (depth - 2) // 9
        wide = EXPANSION * base_width
        self.conv1 = nn.Conv2d(3, base_width, 3, padding=1, bias=False)
        self.layer1 = _stage(base_width, base_width, blocks, stride=1)
        self.layer2 = _stage(wide, 2 * base_width, blocks, stride=2)
        self.layer3 = _stage(2 * wide, 4 * base_width, blocks, stride=2)
        self.bn = nn.BatchNorm2d(4 * wide)
        self.fc = nn.Linear(4 * wide, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to logits (n, num_classes)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = torch.relu(self.bn(x))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Bottleneck(channels_in, channels, stride=stride)
    rest = (Bottleneck(EXPANSION * channels, channels, stride=1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
