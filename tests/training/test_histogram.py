import numpy as np
import torch
from torch import nn

from lossatlas.training.histogram import BINS, RANGE, weight_histogram


def test_every_weight_of_more_than_one_dimension_is_counted_once_and_in_its_bin():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0011, 0.0011, -0.5001], [7.0, -7.0, 0.9999]]))
        model[0].bias.fill_(0.25)
    found = weight_histogram(model)
    width = 2 * RANGE / BINS
    assert np.allclose(np.diff(found.edge), width) and found.count.dtype == np.int64
    bins = {round(float(found.edge[i] + width / 2), 6): int(found.count[i]) for i in np.flatnonzero(found.count)}
    # beyond the range: in the outermost bins
    assert bins == {0.001: 2, -0.501: 1, 0.999: 2, -0.999: 1}


def test_quantiles_are_of_absolute_values():
    model = nn.Linear(101, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.linspace(-1, 0, 101))
    found = weight_histogram(model)
    assert dict(zip(found.level, found.quantile.round(6), strict=True)) == {0.5: 0.5, 0.9: 0.9, 0.99: 0.99, 1.0: 1.0}


def test_weights_that_are_not_finite_do_not_raise():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    assert np.isnan(weight_histogram(model).quantile).all()
