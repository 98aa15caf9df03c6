import sys

import numpy as np
import pytest
import torch

MODULE = """
from types import SimpleNamespace

import torch
from torch import nn
import torch.utils.data
from torch.nn import functional


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()


instance = Net()
number = 3


def data():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=draws)
    return x, (x.sum(1) > 0).long()


pair = data()


def heights():
    x, y = data()
    return x, y.float()


def narrow():
    x, y = data()
    return x[:, :2], y


class Examples(torch.utils.data.TensorDataset):
    def __init__(self):
        super().__init__(*data())


examples = Examples()


def wide():
    return [(x.double(), y) for x, y in [data()]]


def failing():
    raise OSError("no disk")


def mse(outputs, targets):
    return (outputs.mean(1) - targets) ** 2


class Smooth(nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__(label_smoothing=0.1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module, a checkpoint and a file of data, outside of any checkout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymodule.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("mymodule", None)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    torch.save(net.state_dict(), "net.pt")
    images = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
    labels = np.arange(10) % 2
    np.savez("data.npz", images=images, labels=labels, test_images=images[:4], test_labels=labels[:4])
    yield tmp_path
    sys.modules.pop("mymodule", None)
