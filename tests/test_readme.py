"""What the README tells users to run on a network of their own runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lossatlas

README = Path(__file__).parents[1] / "README.md"


def snippets(heading):
    """The Python code below a heading of the README."""
    section = README.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL), section


def checkpoints(model):
    """Weights on a bent path to those of the model."""
    end = model.state_dict()
    return [{name: tensor + i * (0.1 if i < 3 else 0.2 * tensor) for name, tensor in end.items()} for i in (3, 2, 1, 0)]


@pytest.fixture
def names():
    """What the README supposes to be there."""
    draws = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws))
    states = checkpoints(model)
    data = {"model": model, "checkpoints": states, "start": states[0], "end": states[-1]}
    for name, n in (("train", 6), ("test", 4)):
        data[f"{name}_images"] = torch.randn(n, 3, 2, 2, generator=draws)
        data[f"{name}_labels"] = torch.randint(0, 3, (n,), generator=draws)
    return data


def test_your_own_network(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes, section = snippets("Your own network")
    assert codes
    for code in codes:
        exec(code, names)
    assert (tmp_path / "surface.png").read_bytes().startswith(b"\x89PNG")

    assert names["cuts"].train_loss.shape == (3, 51) and (names["cuts"].curvature > 0).all()
    assert names["eigenvalues"].converged.all() and names["path"].trajectory.captured.sum() == pytest.approx(1)

    assert names["curve"].bends == 1 and names["along"].train_loss.shape == (1, 11)
    assert names["along"].arc[-1] >= names["along"].from_end[0] > 0

    surface = names["surface"]
    save = 'surface.save("surface.h5")'
    assert save in section
    exec(save, names)
    loaded = lossatlas.Plane.load("surface.h5")
    assert loaded.train_loss.shape == (51, 51)
    assert np.array_equal(loaded.train_loss, surface.train_loss)
    assert np.isfinite(loaded.test_loss).all()
