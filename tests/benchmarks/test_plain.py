"""The plain program is written apart from the package: what both compute must agree."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.hessian import hessian_map
from lossatlas.landscape.surfaces import plane
from lossatlas.randomness import generator
from lossatlas.training.batches import epoch_batches
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe


@pytest.fixture
def cases():
    import cases

    return cases


@pytest.fixture
def plain():
    import plain

    return plain


def moved_to(plain, cases, model, net, at):
    plain.move(net, *cases.listed(model, cases.axes(model)), at)
    return net


def test_losses_and_accuracies_of_a_plane(plain, cases):
    # genuine weights: batch normalization has something to fold
    model, net, images = cases.network("resnet20"), cases.network("resnet20"), cases.images(None, 40)
    steps = np.array([-0.4, 0.3])
    surface = plane(model, images.normalized(), directions=cases.axes(model), x=steps, batch_size=16)
    loader = plain.loader(images.pixels, images.labels, batch_size=16)
    for i, j in itertools.product(range(2), repeat=2):
        moved_to(plain, cases, model, net, (steps[i], steps[j]))
        loss, accuracy = plain.loss_and_accuracy(net, loader)
        # float32 sums in another order
        assert surface.train_loss[i, j] == pytest.approx(loss, rel=1e-5)
        assert surface.train_accuracy[i, j] == accuracy


def test_hessian_products(plain, cases):
    model, net, images = cases.network("resnet8w4"), cases.network("resnet8w4"), cases.images(None, 12)
    operator = HessianOperator(model, images.normalized(), batch_size=12)
    vector = torch.randn(operator.size, generator=generator(0, "test"), dtype=torch.float64)
    loader = plain.loader(images.pixels, images.labels, batch_size=5)
    expected = plain.hessian_product(net, loader, vector.numpy())
    # both round to float32, relative to the largest entries
    np.testing.assert_allclose(operator.product(vector).numpy(), expected, atol=1e-4 * np.abs(expected).max())
    other_way = plain.forward_over_reverse(net, loader, vector.numpy())
    np.testing.assert_allclose(other_way, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("way", ["lanczos", "arpack"])
def test_both_ends_of_the_spectrum(plain, cases, way):
    model, net, images = cases.network("resnet8w2"), cases.network("resnet8w2"), cases.images(None, 8)
    steps = np.array([0.0, 0.2])
    directions, tolerance = cases.axes(model), 1e-2
    found = hessian_map(
        model, images.normalized(), directions=directions, x=steps, y=steps[:1], batch_size=8, tolerance=tolerance
    )
    loader, rng = plain.loader(images.pixels, images.labels, batch_size=8), np.random.default_rng(0)
    for i, x in enumerate(steps):
        moved_to(plain, cases, model, net, (x, 0.0))

        def product(vector):
            return plain.hessian_product(net, loader, vector)

        size = sum(p.numel() for p in net.parameters() if p.dim() > 1)
        ends = plain.WAYS[way](product, size, tolerance=tolerance, rng=rng)
        scale = max(map(abs, ends.values))
        # eigenvalues are nearer than the residuals
        assert found.lambda_max[i, 0] == pytest.approx(ends.values[0], abs=2 * tolerance * scale)
        assert found.lambda_min[i, 0] == pytest.approx(ends.values[1], abs=2 * tolerance * scale)
        rests = [plain.residual(product, *end) for end in zip(ends.values, ends.vectors, strict=True)]
        assert max(rests) <= 1.5 * tolerance * scale
        assert ends.products > 4


def test_the_ends_of_a_matrix_that_is_known(plain):
    values = np.array([-3.0, -0.5, 0.0, 0.1, 1.0, 2.0, 7.0] + [0.2] * 20)
    for way in plain.WAYS.values():
        ends = way(lambda v: values * v, len(values), tolerance=1e-8, rng=np.random.default_rng(0))
        assert ends.values == pytest.approx((7.0, -3.0), abs=1e-6)
        assert np.abs(ends.vectors[0][6]) == pytest.approx(1.0, abs=1e-6)


@dataclass
class Splits:
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def test_an_epoch_of_training(plain, cases):
    images, batch_size = cases.images(None, 48), 16
    ours, net = cases.network("resnet8w4"), cases.network("resnet8w4")
    splits = Splits(images.pixels, images.labels, images.pixels[:8], images.labels[:8])
    recipe = Recipe(epochs=1, batch_size=batch_size, lr=0.01)
    history, _ = train(ours, splits, recipe, seed=3, keep=lambda epoch, learned: None)
    # the batches that ours takes, in the plain loop
    inputs, labels = images.normalized()
    order = epoch_batches(len(labels), batch_size, generator(3, "order", 1))
    optimizer = plain.make_optimizer(net, lr=float(history.step_learning_rate[0]))
    plain.train_epoch(net, [(inputs[chosen], labels[chosen]) for chosen in order], optimizer)
    for (name, a), b in zip(ours.state_dict().items(), net.state_dict().values(), strict=True):
        # three steps of float32 in another memory layout, with a fused optimizer
        torch.testing.assert_close(a.contiguous(), b, rtol=1e-3, atol=1e-5, msg=name)
    loss, _ = plain.loss_and_accuracy(net, plain.loader(images.pixels, images.labels))
    assert history.train_loss[-1] == pytest.approx(loss, rel=1e-3)


def test_augmentation_moves_and_mirrors_within_a_black_border(plain, cases):
    images = cases.images(None, 4)
    torch.manual_seed(0)
    batches = [next(iter(plain.loader(images.pixels, images.labels, training=True)))[0] for _ in range(3)]
    assert not torch.equal(batches[0], batches[1])
    clean = next(iter(plain.loader(images.pixels, images.labels)))[0]
    assert torch.equal(clean, images.normalized()[0])  # torchvision's numbers, bit for bit
    assert all(batch.min() >= clean.min() for batch in batches)  # digits have black in them


def test_operations_are_those_of_the_layers(cases):
    # stem 3x3x3x16x32x32; three stages; linear 64x10: the usual 40.8 million multiply-adds of ResNet-20
    model, images = cases.network("resnet20"), cases.images(None, 1)
    assert cases.operations(model, images.pixels) == pytest.approx(2 * 41.2e6, rel=0.02)
