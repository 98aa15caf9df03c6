from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lossatlas.models import build

GOLDEN = Path(__file__).parents[1] / "golden"

# Every family and structural option, small enough for a laptop; each also has the papers' structure.
SMALL = {
    "vgg9": ("vgg", {"depth": 9, "base_width": 4}),
    "vgg19": ("vgg", {"depth": 19, "base_width": 4}),
    "vgg16-garipov": ("vgg", {"depth": 16, "variant": "garipov", "batch_norm": False, "base_width": 4}),
    "vgg16-garipov-bn": ("vgg", {"depth": 16, "variant": "garipov", "batch_norm": True, "base_width": 4}),
    "resnet14": ("resnet", {"depth": 14, "base_width": 4}),
    "resnet14-noshort": ("resnet", {"depth": 14, "shortcut": False, "base_width": 4}),
    "resnet8-wide": ("resnet", {"depth": 8, "width": 3, "base_width": 4}),
    "preresnet20": ("preresnet", {"depth": 20, "base_width": 4}),
    "wrn16-2": ("wide_resnet", {"depth": 16, "widen": 2, "base_width": 4}),
    "wrn10-2-dropout": ("wide_resnet", {"depth": 10, "widen": 2, "dropout": 0.3, "base_width": 4}),
    "densenet121": ("densenet", {"depth": 121, "growth": 4}),
    "densenet16": ("densenet", {"depth": 16, "growth": 4, "bottleneck": False}),
    "densenet22-bottleneck": ("densenet", {"depth": 22, "growth": 4}),
}


@pytest.fixture(params=SMALL)
def small(request):
    """A small network's family and options."""
    return SMALL[request.param]


@pytest.fixture
def golden() -> Path:
    return GOLDEN


@pytest.fixture
def logits():
    """A function of a network and images: its logits in evaluation mode."""

    def logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.eval()(images)

    return logits


@pytest.fixture
def tiny() -> nn.Module:
    return build("resnet", depth=8, base_width=2, num_classes=4, input_size=8)
