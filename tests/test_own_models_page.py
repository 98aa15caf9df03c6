"""The examples of docs/own-models.md, as they stand there."""

import copy
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import lossatlas
from lossatlas.landscape.points import displaced
from lossatlas.own.request import KEYS, parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-models.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# example: (\w+)\n(.*?)```", PAGE, flags=re.DOTALL))


def measured(model, names):
    """Mean loss of a network by hand, example by example, in the way of the example."""
    if "loader" in names:
        rows = [model(**{key: value[None] for key, value in row.items()}).loss for row in names["examples"]]
        return float(sum(rows) / len(rows))
    if "next_token_loss" in names:
        return float(
            sum(
                names["next_token_loss"](model(x[None]), y[None])[0]
                for x, y in zip(names["x"], names["y"], strict=True)
            )
            / 64
        )
    losses = [
        torch.nn.functional.cross_entropy(model(x[None]), y[None])
        for x, y in zip(names["images"].to(next(model.parameters()).dtype), names["labels"], strict=True)
    ]
    return float(sum(losses) / len(losses))


@pytest.mark.parametrize("example", ["cnn", "transformer", "named"])
def test_an_example_makes_its_surface_and_figure_and_agrees_with_brute_force(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    with torch.random.fork_rng([]):
        exec(compile(EXAMPLES[example], f"own-models.md {example}", "exec"), names)
    model, surface = names["model"], lossatlas.Plane.load(f"{example}.h5")
    assert Path(f"{example}.png").read_bytes().startswith(b"\x89PNG")
    assert np.array_equal(surface.train_loss, names["surface"].train_loss) and surface.computed.all()
    assert np.isfinite(surface.train_accuracy).all() and model.training

    # float64 by hand: what remains is the rounding of float32
    state = copy.deepcopy(model.state_dict())
    axes = [lossatlas.random_direction(state, seed=0, stream=f"direction_{axis}") for axis in "xy"]
    middle = len(surface.x) // 2
    for i, j in ((middle, middle), (1, 2)):
        twin = copy.deepcopy(model)
        twin.load_state_dict(displaced(state, axes, (surface.x[i], surface.y[j])))
        with torch.no_grad():
            assert surface.train_loss[i, j] == pytest.approx(measured(twin.double().eval(), names), rel=2e-5)
    # trained: the weights are lower than what surrounds them
    assert surface.train_loss[middle, middle] < surface.train_loss[[0, 0, -1, -1], [0, -1, 0, -1]].min()


def test_every_word_of_the_commands_is_in_the_table():
    table = PAGE.split("## The command")[1].split("## Data")[0]
    for keys in KEYS.values():
        for key in keys:
            assert f"`{key}=`" in table, key
    words = re.search(r"```\nlossatlas plane (.*?) --to", table)[1].split()
    assert parse("plane", words).points == 625


def test_the_page_names_what_there_is():
    for name in re.findall(r"`lossatlas\.(\w+)`", PAGE):
        assert name in lossatlas.__all__
    assert "lossatlas" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
