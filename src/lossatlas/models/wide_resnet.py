"""Wide residual networks (Zagoruyko and Komodakis 2016) in the form Garipov et al. 2018 trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Garipov et al.'s program gives the last batch norm this momentum; all others have PyTorch's 0.1.
LAST_NORM_MOMENTUM = 0.9


class WideBlock(nn.Module):
    """Batch norm and ReLU before each of two 3x3 convolutions with bias; the second one strides."""

    def __init__(self, channels_in: int, channels: int, *, stride: int, dropout: float) -> None:
        """Create the block; where the shape changes the shortcut is a 1x1 convolution of the raw input."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else None
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut.append(nn.Conv2d(channels_in, channels, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels_in, h, w) to (n, channels, h / stride, w / stride)."""
        out = self.conv1(torch.relu(self.bn1(x)))
        if self.dropout is not None:
            out = self.dropout(out)
        out = self.conv2(torch.relu(self.bn2(out)))
        total: Tensor = out + self.shortcut(x)
        return total


class WideResNet(nn.Module):
    """WRN-depth-widen of depth 6n+4 with three stages of n blocks; WRN-28-10 in Garipov et al. 2018, table 1."""

    def __init__(
        self,
        *,
        depth: int = 28,
        widen: int = 10,
        dropout: float = 0.0,
        base_width: int = 16,
        num_classes: int = 10,
        input_size: int = 32,
    ) -> None:
        """Create the network; `input_size` is not needed, the last map is averaged whatever its size."""
        super().__init__()
        blocks = (depth - 4) // 6
        channels = base_width * widen
        self.conv1 = nn.Conv2d(3, base_width, 3, padding=1)
        self.layer1 = _stage(base_width, channels, blocks, stride=1, dropout=dropout)
        self.layer2 = _stage(channels, 2 * channels, blocks, stride=2, dropout=dropout)
        self.layer3 = _stage(2 * channels, 4 * channels, blocks, stride=2, dropout=dropout)
        self.bn1 = nn.BatchNorm2d(4 * channels, momentum=LAST_NORM_MOMENTUM)
        self.linear = nn.Linear(4 * channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 3, h, w) to logits (n, num_classes)."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = torch.relu(self.bn1(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def _stage(channels_in: int, channels: int, blocks: int, *, stride: int, dropout: float) -> nn.Sequential:
    first = WideBlock(channels_in, channels, stride=stride, dropout=dropout)
    rest = (WideBlock(channels, channels, stride=1, dropout=dropout) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
