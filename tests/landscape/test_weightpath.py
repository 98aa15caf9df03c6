"""The matrix of a path, block by block against the whole of it."""

import numpy as np
import pytest
import torch

from landscape.path_cases import random_states, rows, vector
from lossatlas.landscape import weightpath
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.landscape.weightpath import StraightPathError, WeightPath
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.models.weights import weights_hash

WEIGHTS = ["a.weight", "a.bias", "b.weight"]
MATRICES = ["a.weight", "b.weight"]
# float64 sums of a hundred numbers of size ten in another order
EXACT = {"rtol": 1e-12, "atol": 1e-10}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, WEIGHTS),
        ({"exclude_1d": True}, MATRICES),
        ({"span": "states"}, ["a.weight", "a.bias", "n.running_mean", "b.weight"]),
        ({"span": "states", "exclude_1d": True}, MATRICES),
        ({"parameters": {"b.weight"}}, ["b.weight"]),
    ],
)
@pytest.mark.parametrize("block", [1, 7, 1 << 22])
def test_inner_products_are_those_of_the_whole_matrix(monkeypatch, options, names, block):
    monkeypatch.setattr(weightpath, "_BLOCK", block)
    states = random_states()
    path, whole = WeightPath.of(states, **options), rows(states, names)
    assert list(path.names) == names and path.size == whole.shape[1] and len(path) == 6
    np.testing.assert_allclose(path.gram, whole @ whole.T, **EXACT)
    mean = whole.mean(axis=0)
    np.testing.assert_allclose(path.variation(centred=True), ((whole - mean) ** 2).sum(), **EXACT)
    np.testing.assert_allclose(path.variation(centred=False), (whole**2).sum(), **EXACT)
    factors = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    made = [Direction(tensors=t, weights=path.final, kind="pca") for t in path.combined(factors)]
    vectors = np.stack([vector(direction, names) for direction in made])
    np.testing.assert_allclose(vectors, factors.numpy().T @ whole, **EXACT)
    shared, own = path.products(made)
    np.testing.assert_allclose(shared, whole @ vectors.T, **EXACT)
    np.testing.assert_allclose(own, vectors @ vectors.T, **EXACT)


def test_differences_are_taken_in_float64():
    """Of float32 weights of different sizes, whose differences are no float32 numbers."""
    states = random_states(3, dtype=torch.float32)
    for i, state in enumerate(states):
        state["b.weight"] *= 10.0 ** (2 * i)
    whole = rows(states, WEIGHTS)
    np.testing.assert_allclose(WeightPath.of(states).gram, whole @ whole.T, rtol=1e-13)


def test_files_and_states_are_the_same_path(tmp_path):
    states = random_states(3, dtype=torch.float32)
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    for i, file in enumerate(files):
        save_checkpoint(file, states[i], family=None, options={}, num_classes=2, input_size=8, epoch=i)
    foreign = tmp_path / "2.t7"
    torch.save({"acc": 1.0, "epoch": 2, "state_dict": {f"module.{n}": t for n, t in states[2].items()}}, foreign)
    path = WeightPath.of([files[0], str(files[1]), foreign])
    assert torch.equal(path.gram, WeightPath.of(states).gram)
    assert path.final == weights_hash(states[2]) == load_checkpoint(foreign).weights_hash


def test_directions_that_do_not_fit_are_refused():
    states = random_states()
    path = WeightPath.of(states, exclude_1d=True)
    moving = random_direction(states[-1], seed=0, exclude_1d=False)
    with pytest.raises(ValueError, match=r"a direction moves 'a.bias', which the path leaves out; see span and"):
        path.products([moving])
    turned = Direction(tensors={"b.weight": torch.zeros(5, 4)}, weights=path.final, kind="random")
    with pytest.raises(ValueError, match=r"a direction's 'b.weight' has shape \(5, 4\), not the weights'"):
        path.products([turned])


def test_impossible_paths_are_refused(tmp_path):
    states = random_states(3)
    with pytest.raises(ValueError, match="checkpoints has 1; a path needs at least 2: keep more of them"):
        WeightPath.of(states[:1])
    other = {**states[0], "b.weight": torch.zeros(5, 4)}
    with pytest.raises(ValueError, match="checkpoint 1 differs from the last in 'b.weight'; a path needs checkpoints"):
        WeightPath.of([states[0], other, states[2]])
    with pytest.raises(ValueError, match="no weights with more than one dimension to follow; pass exclude_1d=False"):
        WeightPath.of([{"bias": torch.ones(2)}] * 2, exclude_1d=True)
    with pytest.raises(StraightPathError, match="all checkpoints are equal in the weights that are followed"):
        _ = WeightPath.of([states[0]] * 3).gram
    with pytest.raises(FileNotFoundError, match="does not exist"):
        WeightPath.of([states[0], tmp_path / "none.safetensors"])


@pytest.mark.parametrize(("index", "text"), [(1, "checkpoint 1 holds"), (2, "the last checkpoint holds")])
def test_weights_that_are_not_finite_are_refused(index, text):
    states = random_states(3)
    states[index]["b.weight"][0, 0] = np.inf
    with pytest.raises(ValueError, match=f"{text} weights that are not finite; end the path before"):
        _ = WeightPath.of(states).gram
