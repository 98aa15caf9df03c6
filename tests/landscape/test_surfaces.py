import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cases import CLASSES, brute_force, made, same, snapshot
from landscape.cases import small_data, small_model
from lossatlas.landscape.directions import Direction, direction_between, random_direction
from lossatlas.landscape.points import displaced
from lossatlas.landscape.surfaces import line, plane
from lossatlas.models import build
from lossatlas.models.weights import weights_hash
from models.conftest import SMALL

RTOL = 1e-10  # float64, sums in another order
ROUNDING = 1e-14  # a small loss is the difference of logits of about 10, each with a float64 rounding


def along(model, **tensors):
    """A direction from the weights of a model, given its tensors."""
    values = {name.replace("__", "."): torch.as_tensor(v, dtype=torch.float64) for name, v in tensors.items()}
    return Direction(tensors=values, weights=weights_hash(model.state_dict()), kind="random")


def moved(model, *steps):
    """The state at some multiples of some directions, added up tensor by tensor."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for direction, factor in steps:
        for name, tensor in direction.tensors.items():
            state[name] += factor * tensor
    return state


def logistic():
    """Two classes and one number: the loss is log(1 + exp(-(w_0 - w_1) x))."""
    model = nn.Linear(1, 2, bias=False).double()
    model.weight.data = torch.tensor([[0.5], [-0.25]], dtype=torch.float64)
    return model, (torch.ones(1, 1, dtype=torch.float64), torch.tensor([0]))


def test_closed_form_of_a_line():
    model, data = logistic()
    alpha = np.linspace(-2, 2, 9)
    found = line(model, data, direction=along(model, weight=[[1.0], [-1.0]]), alpha=alpha)
    np.testing.assert_allclose(found.train_loss, np.log1p(np.exp(-(0.75 + 2 * alpha))), rtol=1e-13, atol=ROUNDING)
    assert np.array_equal(found.train_accuracy, (0.75 + 2 * alpha > 0).astype(float))


def test_closed_form_of_a_plane():
    # a product of two layers: along one direction in each the margin is bilinear, and the axes differ
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)).double()
    model[0].weight.data, model[1].weight.data = (
        torch.tensor(v, dtype=torch.float64) for v in ([[0.5]], [[1.0], [-1.0]])
    )
    axes = (along(model, **{"0__weight": [[1.0]]}), along(model, **{"1__weight": [[3.0], [0.0]]}))
    x, y = np.array([-1.0, 0.0, 0.25, 2.0]), np.array([-0.5, 0.0, 1.0])
    found = plane(model, (torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])), directions=axes, x=x, y=y)
    margin = (0.5 + x[:, None]) * (2 + 3 * y[None, :])
    assert found.train_loss.shape == (4, 3)
    np.testing.assert_allclose(found.train_loss, np.log1p(np.exp(-margin)), rtol=1e-13, atol=ROUNDING)


@pytest.mark.parametrize("name", SMALL)
def test_brute_force_line_for_every_family(name):
    family, options = SMALL[name]
    model = made(lambda: build(family, num_classes=CLASSES, input_size=8, **options))
    data, alpha = small_data(3), [-0.5, 0.25]
    direction = random_direction(model.state_dict(), seed=1, exclude_1d=False)
    found = line(model, data, direction=direction, alpha=alpha, batch_size=2)
    for i, a in enumerate(alpha):
        loss, accuracy = brute_force(model, moved(model, (direction, a)), *data)
        assert found.train_loss[i] == pytest.approx(loss, rel=RTOL)
        assert found.train_accuracy[i] == accuracy


def test_brute_force_plane_that_is_not_square():
    model, train, test = small_model(), small_data(), small_data(5, seed=8)
    state = model.state_dict()
    axes = tuple(random_direction(state, seed=0, stream=s) for s in ("direction_x", "direction_y"))
    x, y = [-1.0, 0.3, 2.0], [0.5, -0.25]
    found = plane(model, train, test, directions=axes, x=x, y=y, batch_size=3)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            point = moved(model, (axes[0], a), (axes[1], b))
            loss, accuracy = brute_force(model, point, *train)
            assert (found.train_loss[i, j], found.train_accuracy[i, j]) == (pytest.approx(loss, rel=RTOL), accuracy)
            loss, accuracy = brute_force(model, point, *test)
            assert (found.test_loss[i, j], found.test_accuracy[i, j]) == (pytest.approx(loss, rel=RTOL), accuracy)
    assert found.computed.shape == (3, 2) and found.computed.all()


def test_axes_are_not_exchanged():
    model, data = small_model(), small_data()
    axes = tuple(random_direction(model.state_dict(), seed=0, stream=s) for s in ("direction_x", "direction_y"))
    x, y = [-1.0, 0.0, 1.0], [0.0, 0.5]
    found = plane(model, data, directions=axes, x=x, y=y).train_loss
    swapped = plane(model, data, directions=axes[::-1], x=y, y=x).train_loss
    np.testing.assert_allclose(found, swapped.T, rtol=RTOL)
    # the first column is the line along the first axis, the middle row the one along the second
    np.testing.assert_allclose(found[:, 0], line(model, data, direction=axes[0], alpha=x).train_loss, rtol=RTOL)
    np.testing.assert_allclose(found[1], line(model, data, direction=axes[1], alpha=y).train_loss, rtol=RTOL)
    assert not np.isclose(found[0, 1], found[1, 0])


def test_the_centre_is_the_loss_of_the_checkpoint():
    model, data = small_model(), small_data()
    loss, accuracy = brute_force(model, model.state_dict(), *data)
    surface, profile = plane(model, data, x=[-1, 0, 1], y=[0, 2]), line(model, data, alpha=[0.0])
    for found in (surface.train_loss[1, 0], profile.train_loss[0]):
        assert found == pytest.approx(loss, rel=RTOL)
    assert surface.train_accuracy[1, 0] == profile.train_accuracy[0] == accuracy


def test_an_interpolation_of_states_ends_at_both_checkpoints():
    start, end, data = small_model(), made(lambda: small_model().float(), seed=9), small_data()
    with torch.no_grad():
        for tensor in [*end.parameters(), *end.buffers()]:
            if tensor.is_floating_point():
                tensor.mul_(1.5).add_(0.1)
    direction = direction_between(start.state_dict(), end.state_dict(), span="states")
    found = line(start, data, direction=direction, alpha=[0, 1])
    ends = [brute_force(model, model.state_dict(), *data) for model in (start, end)]
    np.testing.assert_allclose(found.train_loss, [loss for loss, _ in ends], rtol=1e-9)
    assert found.train_accuracy.tolist() == [accuracy for _, accuracy in ends]
    # the weights alone do not end there: the statistics of the first checkpoint stay
    weights = direction_between(start.state_dict(), end.state_dict())
    assert not np.isclose(line(start, data, direction=weights, alpha=[1]).train_loss[0], ends[1][0])


def test_batches_do_not_matter():
    model, data = small_model(), small_data(7)
    results = [line(model, data, data, alpha=[-0.5, 0.5], batch_size=size) for size in (1, 2, 3, 7, 100)]
    for found in results[1:]:
        np.testing.assert_allclose(found.train_loss, results[0].train_loss, rtol=RTOL)
        assert np.array_equal(found.test_accuracy, results[0].test_accuracy)


def test_the_same_call_gives_the_same_bytes():
    model, data = small_model().float(), small_data(dtype=torch.float32)
    first, second = (plane(model, data, x=[-1, 0.5], y=[0.25]) for _ in range(2))
    assert first.train_loss.tobytes() == second.train_loss.tobytes()
    other = plane(model, data, x=[-1, 0.5], y=[0.25], seed=1)
    assert not np.isclose(first.train_loss, other.train_loss).any()


def test_the_order_of_the_points_does_not_matter():
    model, data = small_model().float(), small_data(dtype=torch.float32)
    forward, backward = (line(model, data, alpha=a).train_loss for a in ([-1, 0, 1, 3], [3, 1, 0, -1]))
    assert forward.tobytes() == backward[::-1].tobytes()


def test_the_two_random_axes_differ():
    about = plane(small_model(), small_data(), x=[0.0]).provenance["directions"]
    assert [axis["stream"] for axis in about] == ["direction_x", "direction_y"]


def test_defaults_are_51_points_from_minus_1_to_1():
    model, data = logistic()
    found = line(model, data)
    np.testing.assert_allclose(found.alpha, np.linspace(-1, 1, 51))
    assert plane(model, data, x=[0, 1, 2]).train_loss.shape == (3, 3)


def test_without_a_test_set_its_values_are_nan():
    found = plane(small_model(), small_data(), x=[0, 1], y=[0.0])
    assert np.isnan(found.test_loss).all() and np.isnan(found.test_accuracy).all()
    assert found.computed.all() and found.note == ""
    assert found.provenance["examples"] == [7, 0]


@pytest.mark.parametrize("bad", [[], [math.nan], [0.0, math.inf], [[0.0, 1.0]], 0.5])
def test_impossible_coordinates_are_refused(bad):
    model, data = logistic()
    for name, call in {
        "alpha": lambda: line(model, data, alpha=bad),
        "x": lambda: plane(model, data, x=bad, y=[0]),
        "y": lambda: plane(model, data, x=[0], y=bad),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} has shape .*a vector of at least one finite coordinate"):
            call()


def test_unknown_settings_are_refused():
    model, data = logistic()
    with pytest.raises(TypeError, match="folding"):
        line(model, data, alpha=[0], folding=True)


def test_a_direction_of_other_weights_is_refused():
    model, data = small_model(), small_data()
    direction = random_direction(model.state_dict(), seed=0)
    model.linear.weight.data += 1e-9
    with pytest.raises(ValueError, match="the direction belongs to the weights"):
        line(model, data, direction=direction, alpha=[0])
    with pytest.raises(ValueError, match="the direction belongs to the weights"):
        plane(model, data, directions=(random_direction(model.state_dict(), seed=0), direction), x=[0])


class _Fails(nn.Linear):
    """Raises after some evaluations."""

    calls = 0

    def forward(self, x):
        type(self).calls += 1
        if type(self).calls > 12:
            raise MemoryError("no memory left")
        return super().forward(x)


def test_the_model_is_untouched():
    model = small_model().train()
    before = snapshot(model)
    plane(model, small_data(), small_data(3), x=[-1, 1], y=[1e200])
    assert same(before, snapshot(model))


def test_the_model_is_untouched_when_an_evaluation_raises():
    model = made(lambda: nn.Sequential(nn.Flatten(), _Fails(192, CLASSES))).train()
    before = snapshot(model)
    with pytest.raises(MemoryError, match="no memory left"):
        line(model, small_data(), alpha=np.arange(1, 20))
    assert same(before, snapshot(model))


def test_a_network_that_is_not_deterministic_is_refused():
    class Dropping(nn.Linear):
        def forward(self, x):
            return super().forward(functional.dropout(x.flatten(1)))

    model = Dropping(192, CLASSES).double()
    before = snapshot(model)
    with pytest.raises(ValueError, match="switch off what is random in eval mode"):
        line(model, small_data())
    assert same(before, snapshot(model))


def test_negative_variances_are_nan_with_the_reason():
    model, data = small_model(), small_data()
    end = {n: t * 0.5 if n.endswith("running_var") else t for n, t in model.state_dict().items()}
    direction = direction_between(model.state_dict(), end, span="states")
    found = line(model, data, data, direction=direction, alpha=[0, 1, 3, 4])
    assert np.isnan(found.train_loss).tolist() == np.isnan(found.test_loss).tolist() == [False, False, True, True]
    assert found.computed.all()
    assert found.note == "2 points have a negative extrapolated running variance, where the loss is undefined"


def test_overflows_are_kept_with_the_reason():
    model, data = logistic()
    found = line(model, data, direction=along(model, weight=[[-1e308], [1e308]]), alpha=[0, 1, 2])
    assert np.isfinite(found.train_loss).tolist() == [True, False, False]
    assert found.computed.all()
    assert found.note == "2 points have a loss that overflows"


def test_an_overflow_of_the_test_loss_alone_is_noted():
    model, train = logistic()
    test = (train[0] * 1e300, 1 - train[1])
    found = line(model, train, test, direction=along(model, weight=[[1.0], [0.0]]), alpha=[0, 1e20])
    assert np.isfinite(found.train_loss).all() and not np.isfinite(found.test_loss[1])
    assert found.note == "1 points have a loss that overflows"


def test_weights_that_are_not_finite_are_named():
    model, data = small_model(), small_data()
    model.linear.bias.data[0] = math.nan
    found = line(model, data, alpha=[0, 1])
    assert np.isnan(found.train_loss).all()
    assert found.note == "the checkpoint's own weights are not finite"


def test_buffers_that_are_no_statistics_do_not_move():
    class Scaling(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
            self.layer = nn.Linear(192, CLASSES)

        def forward(self, x):
            return self.layer((x - self.mean).flatten(1))

    model, data = made(Scaling), small_data()
    named = random_direction(model.state_dict(), seed=0, parameters=["layer.weight"])
    for found in (line(model, data, alpha=[1]).train_loss[0], plane(model, data, x=[1], y=[0]).train_loss[0, 0]):
        assert found == pytest.approx(line(model, data, direction=named, alpha=[1]).train_loss[0], rel=RTOL)


def test_provenance_names_direction_and_data():
    model = small_model()
    about = line(model, small_data(), small_data(3), alpha=[0], seed=4, normalization="layer").provenance
    assert about["examples"] == [7, 3]
    assert about["direction"]["seed"] == 4 and about["direction"]["normalization"] == "layer"
    assert about["direction"]["weights"] == weights_hash(model.state_dict())


def test_displaced_shares_what_does_not_move():
    model = small_model()
    state = model.state_dict()
    direction = random_direction(state, seed=0)
    point = displaced(state, [direction, direction], [0.5, 0.25])
    assert all((point[name] is state[name]) == (name not in direction.tensors) for name in state)
    name = "conv1.weight"
    torch.testing.assert_close(point[name], state[name] + 0.75 * direction.tensors[name], rtol=1e-12, atol=0)
