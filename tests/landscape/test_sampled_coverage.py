"""What sampled points promise, over many orders of the images, replayed from the losses of single images."""

import numpy as np
import pytest

from landscape.sampling_cases import AXES, every_image, table
from lossatlas.landscape.sampler import Sampler
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.sampling_plan import Plan

ORDERS, PLACES, LOW = 60, 54, 0.1
GRIDS = {"one grid": Plan((3,), (1797,)), "two grids": Plan((6, 3), (1797, 900))}


@pytest.fixture(scope="module", params=[True, False], ids=["shortcuts", "no shortcuts"])
def stored(request):
    """Losses and correctness of all digits about a trained network."""
    return every_image(request.param)


@pytest.fixture(scope="module", params=GRIDS.values(), ids=GRIDS)
def replayed(stored, request):
    """Of random places in 60 orders: the exact loss, by how much loss and accuracy are off, their errors, and n."""
    exact, images = stored.mean(-1), stored.shape[-1]
    drawn = np.random.default_rng(1).permutation(exact[..., 0].size)[:PLACES]
    places = sorted((int(i), int(j)) for i, j in zip(*np.unravel_index(drawn, exact.shape[:2]), strict=True))
    rows = []
    for seed in range(ORDERS):
        measure, _ = table(stored[..., np.random.default_rng(seed).permutation(images)])
        sampler = Sampler(AXES["x"], AXES["y"], request.param, measure, Sampling())
        for place in places:
            found, (loss, accuracy) = sampler(place), exact[place]
            off = abs(found["loss"] - loss), abs(found["accuracy"] - accuracy)
            rows.append((loss, *off, found["loss_se"], found["accuracy_se"], found["n"]))
    names = ("loss", "loss_off", "accuracy_off", "loss_se", "accuracy_se", "n")
    return dict(zip(names, np.array(rows).T, strict=True))


def covered(rows, some, name="loss"):
    """The share of some rows whose interval of 1.96 standard errors has the exact value."""
    return (rows[f"{name}_off"] <= 1.96 * rows[f"{name}_se"])[some].mean()


def test_intervals_cover_the_exact_loss_also_near_the_minimum(replayed):
    estimated = replayed["loss_se"] > 0
    low = estimated & (replayed["loss"] < LOW)
    assert estimated.mean() > 0.5 and low.sum() > 200
    # the points of an order share its images: one standard error of a proportion of 95 % in 60 orders is 2.8 %, and
    # points near the minimum go up and down together
    assert covered(replayed, estimated) >= 0.94
    assert covered(replayed, low) >= 0.90


def test_points_are_within_the_tolerance(replayed):
    within = replayed["loss_off"] <= 0.01 + 0.02 * replayed["loss"]
    estimated = replayed["loss_se"] > 0
    assert within[estimated].mean() >= 0.96
    assert within[estimated & (replayed["loss"] < LOW)].mean() >= 0.96
    assert (replayed["loss_off"][~estimated] < 1e-12).all()


def test_intervals_cover_the_exact_accuracy(replayed):
    estimated = replayed["loss_se"] > 0
    assert covered(replayed, estimated, "accuracy") >= 0.94
    assert covered(replayed, estimated & (replayed["loss"] < LOW), "accuracy") >= 0.94


def test_fewer_images_are_needed_than_without_neighbours(stored, replayed):
    n, alone = replayed["n"], Sampling()
    exact, variance = stored[:, :, 0].mean(-1), stored[:, :, 0].var(-1)
    plain = [alone.needed(v, loss, stored.shape[-1]) for v, loss in zip(variance.ravel(), exact.ravel(), strict=True)]
    assert n[replayed["loss_se"] > 0].mean() < 0.5 * np.mean(plain)


def test_a_sample_has_some_of_the_images_that_carry_the_loss(replayed):
    """Near the minimum few images do; a sample of 64 often has none of them, and stops at a loss that is too low."""
    estimated = replayed["loss_se"] > 0
    assert replayed["n"][estimated & (replayed["loss"] < LOW)].min() > 200
    assert replayed["n"][estimated & (replayed["loss"] > 1)].min() <= 96
