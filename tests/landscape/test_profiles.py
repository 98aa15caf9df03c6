import json

import numpy as np
import pytest
import torch
from torch import nn

from engine.cases import CLASSES, examples, made, same, snapshot
from landscape.cases import small_data, small_model
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.profiles import curvatures, profile, profile_directions
from lossatlas.landscape.surfaces import line, plane
from lossatlas.results import VALUES, Profile


def tanh_network():
    """A smooth network of 66 weights and 14 biases, in float64."""
    layers = (nn.Flatten(), nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    return made(lambda: nn.Sequential(*layers), seed=3)


def tiny_images(n=9):
    return examples(n, size=2)


def dense_curvature(model, data, direction):
    """d'Hd from the whole Hessian of the moved weights."""
    names = list(direction.tensors)
    start = dict(model.named_parameters())

    def loss(*tensors):
        weights = {**start, **dict(zip(names, tensors, strict=True))}
        return nn.functional.cross_entropy(torch.func.functional_call(model, weights, (data[0],)), data[1])

    parts = torch.autograd.functional.hessian(loss, tuple(start[n].detach() for n in names))
    along = [direction.tensors[n] for n in names]
    return sum(
        float(along[i].flatten() @ parts[i][j].reshape(along[i].numel(), -1) @ along[j].flatten())
        for i in range(len(names))
        for j in range(len(names))
    )


@pytest.mark.parametrize("normalization", ["filter", "layer", "none"])
@pytest.mark.parametrize("exclude_1d", [True, False])
def test_curvature_against_the_dense_hessian(normalization, exclude_1d):
    model, data = tanh_network(), tiny_images()
    options = {"repeats": 3, "seed": 5, "normalization": normalization, "exclude_1d": exclude_1d}
    found = profile(model, data, alpha=[0.0], batch_size=4, **options)
    expected = [dense_curvature(model, data, d) for d in profile_directions(model, **options)]
    # float64, sums in another order
    np.testing.assert_allclose(found.curvature, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("exclude_1d", [True, False])
def test_curvature_against_second_differences_of_the_rows(exclude_1d):
    model, data, h = tanh_network(), tiny_images(), 1e-3
    found = profile(model, data, alpha=[-h, 0, h], repeats=4, exclude_1d=exclude_1d)
    low, centre, high = found.train_loss.T
    # truncated at h^2 = 1e-6 of the fourth derivative, rounded at 1e-16 / h^2
    np.testing.assert_allclose(found.curvature, (low - 2 * centre + high) / h**2, rtol=1e-4, atol=1e-5)
    assert np.abs(found.curvature).min() > 1e-3


def test_curvature_with_batch_normalization():
    """With its running statistics, as the losses are evaluated."""

    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, CLASSES)

        def forward(self, x):
            return self.out(torch.tanh(self.norm(self.conv(x))).mean((2, 3)))

    model, data, h = made(Smooth).train(), small_data(6), 1e-3
    found = profile(model, data, alpha=[-h, 0, h], repeats=2, batch_size=4)
    low, centre, high = found.train_loss.T
    np.testing.assert_allclose(found.curvature, (low - 2 * centre + high) / h**2, rtol=1e-4)


@pytest.mark.parametrize("normalization", ["filter", "none"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_first_row_is_the_line_of_the_same_seed(normalization, dtype):
    model = small_model().to(dtype)
    train, test = small_data(dtype=dtype), small_data(3, seed=7, dtype=dtype)
    options = {"alpha": np.linspace(-1, 1, 7), "seed": 3, "normalization": normalization, "batch_size": 4}
    found = profile(model, train, test, repeats=3, **options)
    single = line(model, train, test, **options)
    for name in VALUES:
        assert np.array_equal(getattr(found, name)[0], getattr(single, name)), name
        assert getattr(found, name).shape == (3, 7)
    # and the plane's x axis
    across = plane(model, train, x=options["alpha"], y=[0.0], seed=3, normalization=normalization, batch_size=4)
    assert np.array_equal(across.train_loss[:, 0], found.train_loss[0])


def test_each_row_is_the_line_along_its_direction():
    model, train = small_model(), small_data()
    alpha = [-1.0, -0.25, 0.0, 2.0]
    found = profile(model, train, alpha=alpha, repeats=3, seed=2)
    directions = profile_directions(model, repeats=3, seed=2)
    assert [d.stream for d in directions] == ["direction_x", "direction_1", "direction_2"]
    for row, direction in enumerate(directions):
        assert np.array_equal(found.train_loss[row], line(model, train, direction=direction, alpha=alpha).train_loss)
    assert len(set(found.train_loss[:, 0])) == 3
    assert len(set(found.train_loss[:, 2])) == 1  # the centre
    assert found.rows == ("direction 0", "direction 1", "direction 2")
    assert np.isnan(found.test_loss).all() and found.computed.all()


def test_repeats_only_add_rows():
    model, train = small_model(), small_data()
    few, many = (profile(model, train, alpha=[-1, 0, 1], repeats=n) for n in (1, 3))
    assert np.array_equal(few.train_loss, many.train_loss[:1])
    assert np.array_equal(few.curvature, many.curvature[:1])


def test_normalization_and_seed_count():
    model, train = small_model(), small_data()
    variants = [{}, {"seed": 1}, {"normalization": "none"}, {"normalization": "layer"}, {"exclude_1d": False}]
    found = [profile(model, train, alpha=[0.5], repeats=1, **variant) for variant in variants]
    assert len({p.train_loss[0, 0] for p in found}) == len({p.curvature[0] for p in found}) == len(variants)


def test_batches_change_nothing_but_rounding():
    model, train = small_model(), small_data(7)
    found = [profile(model, train, alpha=[-0.5, 0.5], repeats=2, batch_size=size) for size in (1, 3, 100)]
    for other in found[1:]:
        np.testing.assert_allclose(other.train_loss, found[0].train_loss, rtol=1e-10)
        np.testing.assert_allclose(other.curvature, found[0].curvature, rtol=1e-9)


def test_the_model_is_untouched():
    model = small_model().train()
    before = snapshot(model)
    profile(model, small_data(), small_data(3), alpha=[-1, 0, 1], repeats=2)
    assert same(before, snapshot(model))


def test_lists_are_data():
    model, (inputs, labels) = small_model(), small_data()
    given, listed = (
        profile(model, data, alpha=[0, 1], repeats=1) for data in ((inputs, labels), (inputs.tolist(), labels.tolist()))
    )
    assert np.array_equal(given.train_loss, listed.train_loss) and np.array_equal(given.curvature, listed.curvature)


def test_it_is_stored_with_its_provenance(tmp_path):
    found = profile(small_model(), small_data(), small_data(3), alpha=[-1, 0, 1], repeats=2, seed=4)
    found.save(tmp_path / "filter.h5")
    again = Profile.load(tmp_path / "filter.h5")
    assert again.rows == found.rows and np.array_equal(again.curvature, found.curvature)
    assert again.provenance["examples"] == [7, 3]
    assert [d["stream"] for d in again.provenance["directions"]] == ["direction_x", "direction_1"]
    assert {d["seed"] for d in again.provenance["directions"]} == {4}


@pytest.mark.parametrize("after", [0, 1, 5, 11])
def test_a_killed_profile_goes_on(tmp_path, monkeypatch, after):
    model, train = small_model(), small_data()
    options = {"alpha": np.linspace(-1, 1, 5), "repeats": 2, "seed": 1}
    whole = profile(model, train, **options)
    journal, calls = tmp_path / "filter.jsonl", []
    plain, product = Evaluator.__call__, HessianOperator.product

    def counted(wrapped):
        def call(self, *args):
            if len(calls) == after:
                raise KeyboardInterrupt
            calls.append(1)
            return wrapped(self, *args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr("lossatlas.landscape.points.FLUSH_SECONDS", -1.0)
        patch.setattr(Evaluator, "__call__", counted(plain))
        patch.setattr(HessianOperator, "product", counted(product))
        with pytest.raises(KeyboardInterrupt):
            profile(model, train, journal=journal, **options)
    points = journal.read_text().count("\n") - 1
    assert points == min(after, 10)
    done = tmp_path / "filter.curvature.jsonl"
    assert (done.read_text().count("\n") - 1 if after > 10 else done.exists()) == max(after - 10, 0)
    resumed = profile(model, train, journal=journal, **options)
    for name in (*VALUES, "computed", "curvature"):
        assert getattr(resumed, name).tobytes() == getattr(whole, name).tobytes(), name


def test_a_finished_journal_computes_nothing(tmp_path, monkeypatch):
    model, train, journal = small_model(), small_data(), tmp_path / "filter.jsonl"
    first = profile(model, train, alpha=[0, 1], repeats=2, journal=journal)

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(HessianOperator, "product", refuse)
    monkeypatch.setattr(Evaluator, "__call__", refuse)
    again = profile(model, train, alpha=[0, 1], repeats=2, journal=journal)
    assert again.curvature.tobytes() == first.curvature.tobytes()


def test_curvatures_of_other_weights_data_or_directions_are_not_taken(tmp_path):
    model, train, journal = small_model(), small_data(), tmp_path / "curvature.jsonl"
    directions = profile_directions(model, repeats=2, seed=0)
    curvatures(model, train, directions, journal=journal)
    header = json.loads(journal.read_text().splitlines()[0].rpartition(" ")[0])["grid"]
    for data, chosen, options in (
        (small_data(seed=9), directions, {}),
        ((train[0], (train[1] + 1) % CLASSES), directions, {}),
        (train, directions[:1], {}),
        (train, directions, {"batch_size": 2}),
    ):
        with pytest.raises(
            ValueError, match=f"holds points of other data, weights, loss or grid than this one .{header[:8]},"
        ):
            curvatures(model, data, chosen, journal=journal, **options)
    model.linear.weight.data += 1e-9
    with pytest.raises(ValueError, match="the direction belongs to the weights"):
        curvatures(model, train, directions)


@pytest.mark.parametrize("alpha", [[], [[0.0]], [0.0, np.nan]])
def test_impossible_coordinates_are_refused(alpha):
    with pytest.raises(ValueError, match="^alpha has shape .*at least one finite coordinate"):
        profile(small_model(), small_data(), alpha=alpha)


def test_a_profile_needs_a_direction():
    with pytest.raises(ValueError, match="^repeats is 0; a profile needs at least 1 direction"):
        profile(small_model(), small_data(), alpha=[0], repeats=0)
