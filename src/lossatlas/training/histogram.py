"""Histograms of the weights of a network (Li et al. 2018, Figure 2 c and f)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lossatlas.results import WeightHistogram

RANGE, BINS = 1.0, 1000  # weights beyond are counted in the outermost bins
LEVELS = (0.5, 0.9, 0.99, 1.0)


def weight_histogram(model: nn.Module) -> WeightHistogram:
    """Return how the weights of all tensors with more than one dimension are distributed.

    The bins are the same for every network, so that histograms can be drawn over each other.
    """
    weights = torch.cat([p.detach().reshape(-1).double().cpu() for p in model.parameters() if p.dim() > 1]).numpy()
    edge = np.linspace(-RANGE, RANGE, BINS + 1)
    count, _ = np.histogram(np.clip(np.nan_to_num(weights), -RANGE, RANGE), edge)
    return WeightHistogram(
        edge=edge,
        count=count.astype(np.int64),
        level=np.array(LEVELS),
        quantile=np.quantile(np.abs(weights), LEVELS),
    )
