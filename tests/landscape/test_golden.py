"""Losses and directions of the original authors' program, see tests/golden/README.md."""

import h5py
import numpy as np
import pytest
import torch

from landscape.cases import (
    GOLDEN,
    SHARED,
    golden_cifar,
    golden_digits,
    golden_direction,
    golden_model,
)
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape.directions import direction_between, normalize_like
from lossatlas.landscape.points import displaced
from lossatlas.landscape.surfaces import line, plane

DIGITS = GOLDEN / "resnet20_digits32.h5"
CIFAR = SHARED / "golden" / "resnet20_bs128_wd5e-4.h5"
OTHER = "resnet20_bs1024_wd5e-4_model_12.t7"
# Float32 logits that differ by less than this much of the largest logit may be ordered differently by other kernels.
TIE = 1e-5

with_cifar = pytest.mark.skipif(not CIFAR.exists(), reason="the CIFAR images are not beside the repository")


@pytest.fixture(scope="module")
def digits():
    return DIGITS, golden_digits()


@pytest.fixture(scope="module")
def cifar():
    return CIFAR, golden_cifar()


def read(path, group):
    with h5py.File(path) as file:
        return {name: data[()] for name, data in file[group].items()}


def near_ties(model, data, directions, at):
    """The number of images whose two largest logits agree up to rounding at a point."""
    evaluator = Evaluator(model, {"train": data})
    evaluator.load(displaced(model.state_dict(), directions, at))
    logits = evaluator.logits("train")
    top = logits.topk(2).values
    return int((top[:, 0] - top[:, 1] <= TIE * logits.abs().max()).sum())


def compare(result, golden, model, data, directions, grid):
    """Losses within the stated tolerance, accuracies equal up to images that are nearly ties, NaN where golden is."""
    expected = golden["train_loss"]
    assert result.train_loss.shape == expected.shape
    missing = np.isnan(expected)
    assert np.array_equal(np.isnan(result.train_loss), missing)
    # measured: at most 0.06 of this tolerance, folded and in channels-last order
    tolerance = np.where(expected > 100, 1e-4, 1e-5) * np.abs(expected) + 1e-6
    assert (np.abs(result.train_loss - expected)[~missing] <= tolerance[~missing]).all()
    # the original program counts the first NaN among the logits as the class predicted
    assert np.isnan(result.train_accuracy[missing]).all()
    apart = np.where(missing, 0, result.train_accuracy - golden["train_acc"] / 100)
    images = np.rint(apart * len(data[1])).astype(int).ravel()
    for i in np.flatnonzero(images):
        assert abs(images[i]) <= near_ties(model, data, directions, grid[i])
    assert result.computed.all()


def check_line(path, data, key):
    model, golden = golden_model(), read(path, f"line/{key}")
    direction = golden_direction(path, key, model)
    found = line(model, data, direction=direction, alpha=golden["alpha"])
    compare(found, golden, model, data, [direction], golden["alpha"][:, None])
    assert found.note == ""


def check_plane(path, data):
    model, golden = golden_model(), read(path, "plane")
    axes = tuple(golden_direction(path, key, model) for key in ("filter_x", "filter_y"))
    found = plane(model, data, directions=axes, x=golden["x"], y=golden["y"])
    grid = [(x, y) for x in golden["x"] for y in golden["y"]]
    compare(found, golden, model, data, axes, grid)
    assert found.note == ""
    return found


def check_interpolation(path, data):
    model, golden = golden_model(), read(path, "interpolation")
    direction = direction_between(model.state_dict(), golden_model(OTHER).state_dict(), span="states")
    found = line(model, data, direction=direction, alpha=golden["alpha"])
    compare(found, golden, model, data, [direction], golden["alpha"][:, None])
    return found


def test_line_on_digits(digits):
    check_line(*digits, "filter_x")


def test_plane_on_digits_is_not_square_and_not_transposed(digits):
    assert check_plane(*digits).train_loss.shape == (5, 3)


def test_interpolation_on_digits(digits):
    assert check_interpolation(*digits).note == ""


@with_cifar
@pytest.mark.parametrize("key", ["filter_x", "layer_x"])
def test_line_on_cifar(cifar, key):
    check_line(*cifar, key)


@with_cifar
def test_plane_on_cifar(cifar):
    check_plane(*cifar)


@with_cifar
def test_interpolation_on_cifar_is_undefined_where_variances_turn_negative(cifar):
    found = check_interpolation(*cifar)
    assert np.flatnonzero(np.isnan(found.train_loss)).tolist() == [0, 8]
    assert found.note == "2 points have a negative extrapolated running variance, where the loss is undefined"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (DIGITS, "filter_x"),
        (DIGITS, "filter_y"),
        *(pytest.param(CIFAR, key, marks=with_cifar) for key in ("filter_x", "filter_y", "layer_x")),
    ],
)
def test_stored_directions_are_normalized_as_ours(path, key):
    model, normalization = golden_model(), key.rpartition("_")[0]
    direction = golden_direction(path, key, model)
    for name, weight in model.named_parameters():
        found = direction.tensors[name]
        if weight.dim() == 1:
            assert not found.any()
            continue
        axes = tuple(range(1, weight.dim())) if normalization == "filter" else None
        norms = [torch.linalg.vector_norm(t.detach().double(), dim=axes) for t in (found, weight)]
        # float32 sums of at most 576 squares, and the 1e-10 added to a norm
        torch.testing.assert_close(*norms, rtol=2e-6, atol=1e-8)
        # a normalized direction stays as it is, and any multiple of its filters (or layer) returns to it
        torch.testing.assert_close(normalize_like(found, weight.detach(), normalization), found, rtol=2e-6, atol=1e-8)
        factor = torch.rand(len(found), *[1] * (found.dim() - 1)) + 0.5 if normalization == "filter" else 3.0
        torch.testing.assert_close(
            normalize_like(found * factor, weight.detach(), normalization), found, rtol=3e-6, atol=1e-8
        )
