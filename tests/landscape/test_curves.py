import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.cases import ModuleTwoNames, TiedWeights, lively, made
from lossatlas.landscape.curves import Curve, blended, coefficients, parameters_of, whole_state
from lossatlas.models import build

KINDS = ["chain", "bezier"]
# some dozen float64 roundings
ROUNDING = 1e-14


def points(*rows, dtype=torch.float64):
    """Nodes of a network of one vector."""
    return tuple({"w": torch.tensor(row, dtype=dtype)} for row in rows)


def random_points(count, size=5, seed=0, dtype=torch.float64):
    draws = np.random.default_rng(seed)
    return points(*draws.normal(size=(count, size)), dtype=dtype)


def stacked(nodes):
    return np.stack([node["w"].double().numpy() for node in nodes])


@given(kind=st.sampled_from(KINDS), t=st.floats(0, 1), bends=st.integers(0, 30))
@settings(deadline=None, max_examples=200)
def test_weights_are_not_negative_and_sum_to_one(kind, t, bends):
    weights = coefficients(kind, t, bends)
    assert weights.shape == (bends + 2,) and weights.dtype == np.float64
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [0, 1, 2, 7, 200])
def test_the_ends_have_all_the_weight(kind, bends):
    first, last = coefficients(kind, 0, bends), coefficients(kind, 1, bends)
    assert first.tolist() == [1.0] + [0.0] * (bends + 1)
    assert last.tolist() == [0.0] * (bends + 1) + [1.0]


@pytest.mark.parametrize("kind", ["segment", *KINDS])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_without_bends_every_curve_is_the_segment(kind, t):
    assert coefficients(kind, t, 0).tolist() == [1 - t, t]


@pytest.mark.parametrize("bends", [1, 2, 5, 12])
@pytest.mark.parametrize("t", [0.25, 1 / 3, 0.9])
def test_bezier_weights_are_the_bernstein_polynomials(bends, t):
    n, exact = bends + 1, Fraction(t)
    expected = [math.comb(n, i) * exact**i * (1 - exact) ** (n - i) for i in range(n + 1)]
    np.testing.assert_allclose(coefficients("bezier", t, bends), [float(x) for x in expected], rtol=ROUNDING)


@pytest.mark.parametrize("bends", [1, 2, 5])
def test_chain_weights_are_linear_between_nodes_at_equal_distances(bends):
    for t in np.linspace(0, 1, 23):
        knots = np.arange(bends + 2) / (bends + 1)
        expected = [np.interp(t, knots, row) for row in np.eye(bends + 2)]
        np.testing.assert_allclose(coefficients("chain", t, bends), expected, atol=ROUNDING)
    assert coefficients("chain", 0.25, 1).tolist() == [0.5, 0.5, 0.0]
    assert coefficients("chain", 0.5, 1).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("t", [-1e-9, 1 + 1e-9, math.nan, math.inf])
def test_places_beyond_the_ends_are_refused(t):
    with pytest.raises(ValueError, match=f"^t = {t} is not on the curve; it goes from 0 to 1"):
        coefficients("bezier", t, 1)


@pytest.mark.parametrize(("kind", "bends"), [("segment", 1), ("chain", -1), ("bezier", -1)])
def test_impossible_numbers_of_bends_are_refused(kind, bends):
    with pytest.raises(ValueError, match=f"^bends = {bends} of a {kind}; a segment has 0"):
        coefficients(kind, 0.5, bends)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="^kind = 'spline' is unknown; allowed: segment, chain, bezier"):
        Curve("spline", random_points(3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_ends_are_met_bit_for_bit(kind, dtype):
    nodes = random_points(4, dtype=dtype)
    curve = Curve(kind, nodes)
    for t, node in ((0, nodes[0]), (1, nodes[-1])):
        assert torch.equal(curve.at(t)["w"], node["w"]) and curve.at(t)["w"].dtype == dtype
    assert not torch.equal(curve.at(0.01)["w"], nodes[0]["w"])


def test_a_node_without_weight_does_not_count():
    wild = {"w": torch.full((5,), math.nan, dtype=torch.float64)}
    one, two, three = random_points(3)
    for kind in KINDS:
        curve = Curve(kind, (one, wild, two))
        assert torch.equal(curve.at(0)["w"], one["w"]) and torch.equal(curve.at(1)["w"], two["w"])
    assert torch.equal(Curve("chain", (one, two, three)).at(0.5)["w"], two["w"])
    assert Curve("chain", (one, two, wild)).at(0.4)["w"].isfinite().all()
    assert Curve("chain", (one, two, wild)).at(0.6)["w"].isnan().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.77])
def test_points_are_weighted_sums_of_the_nodes(kind, t):
    nodes = random_points(4)
    expected = coefficients(kind, t, 2) @ stacked(nodes)
    np.testing.assert_allclose(Curve(kind, nodes).at(t)["w"].numpy(), expected, rtol=ROUNDING, atol=ROUNDING)


def test_a_bezier_curve_is_that_of_repeated_interpolation():
    nodes, t = random_points(5), 0.3
    rows = stacked(nodes)
    while len(rows) > 1:
        rows = (1 - t) * rows[:-1] + t * rows[1:]
    np.testing.assert_allclose(Curve("bezier", nodes).at(t)["w"].numpy(), rows[0], rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blending_rounds_once(dtype):
    nodes = random_points(4, size=1000, dtype=dtype)
    weights = coefficients("bezier", 0.37, 2)
    exact = sum(node["w"].double() * w for node, w in zip(nodes, weights, strict=True))
    assert torch.equal(blended(nodes, weights)["w"], exact.to(dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bends", [1, 2, 9])
def test_bends_on_the_segment_give_linear_interpolation(kind, bends):
    start, end = random_points(2)
    curve = Curve.straight(start, end, kind=kind, bends=bends)
    assert curve.bends == bends and curve.kind == kind
    for i, node in enumerate(curve.nodes):
        expected = stacked((start, end)).T @ [1 - i / (bends + 1), i / (bends + 1)]
        np.testing.assert_allclose(node["w"].numpy(), expected, rtol=ROUNDING, atol=ROUNDING)
    for t in np.linspace(0, 1, 11):
        line = Curve("segment", (start, end)).at(t)["w"]
        np.testing.assert_allclose(curve.at(t)["w"].numpy(), line.numpy(), rtol=ROUNDING, atol=ROUNDING)
        np.testing.assert_allclose(line.numpy(), (1 - t) * start["w"].numpy() + t * end["w"].numpy(), atol=ROUNDING)


def test_which_nodes_a_training_moves():
    nodes = random_points(4)
    assert Curve("bezier", nodes).free == (1, 2)
    assert Curve("bezier", nodes, free_ends=True).free == (0, 1, 2, 3)
    assert Curve("segment", nodes[:2]).free == ()


def test_distances_are_those_of_the_points():
    t = np.linspace(0, 1, 9)
    for kind in KINDS:
        curve = Curve(kind, random_points(5))
        rows = stacked([curve.at(x) for x in t])
        found = curve.lengths(t)
        np.testing.assert_allclose(found.from_start, np.linalg.norm(rows - rows[0], axis=1), rtol=1e-13)
        np.testing.assert_allclose(found.from_end, np.linalg.norm(rows - rows[-1], axis=1), rtol=1e-13)
        assert found.from_start[0] == found.from_end[-1] == found.arc[0] == 0


def test_small_distances_between_large_weights_keep_their_digits():
    start, end, offset = np.array([1.0, 2.0]), np.array([4.0, 6.0]), 1e6
    curve = Curve("segment", points(start + offset, end + offset))
    np.testing.assert_allclose(curve.lengths([1e-9, 0.5]).from_start, [5e-9, 2.5], rtol=1e-12)


def test_the_length_of_a_chain_is_that_of_its_pieces():
    curve = Curve("chain", points([0.0, 0.0], [3.0, 4.0], [3.0, 5.0], [1.0, 5.0]))  # 5, 1 and 2 long
    t = np.array([0.1, 1 / 3, 0.5, 2 / 3, 0.9, 1.0])
    np.testing.assert_allclose(curve.lengths(t).arc, [1.5, 5, 5.5, 6, 7.4, 8], rtol=1e-13)


@pytest.mark.parametrize("height", [0.1, 1.0, 30.0])
def test_the_length_of_a_parabola_in_closed_form(height):
    """The points (2t, 2h t(1 - t)) have the speed 2 sqrt(1 + u^2) with u = h (1 - 2t)."""
    curve = Curve("bezier", points([0.0, 0.0], [1.0, height], [2.0, 0.0]))
    t = np.array([0.0, 0.2, 0.5, 0.71, 1.0])

    def primitive(u):
        return (u * np.sqrt(1 + u**2) + np.arcsinh(u)) / 2

    expected = (primitive(height) - primitive(height * (1 - 2 * t))) / height
    np.testing.assert_allclose(curve.lengths(t).arc, expected, rtol=1e-10)


def test_a_curve_that_turns_back_on_itself_is_as_long_as_its_way():
    # 2t - 1.7 t^2 rises to 1/1.7 and falls to 0.3
    found = Curve("bezier", points([0.0], [1.0], [0.3])).lengths([0.5, 1.0]).arc
    np.testing.assert_allclose(found, [1 - 1.7 / 4, 2 / 1.7 - 0.3], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_is_that_of_a_fine_polygon_wherever_it_is_asked_for(kind):
    curve = Curve(kind, random_points(6, seed=3))
    fine = np.linspace(0, 1, 1001)
    rows = stacked([curve.at(t) for t in fine])
    polygon = np.concatenate([[0], np.linalg.norm(np.diff(rows, axis=0), axis=1).cumsum()])
    # the chords of 1000 pieces are shorter by about 1e-6
    np.testing.assert_allclose(curve.lengths(fine[[200, 667, 1000]]).arc, polygon[[200, 667, 1000]], rtol=1e-5)
    np.testing.assert_allclose(curve.lengths(fine).arc[[200, 1000]], curve.lengths([0.2, 1.0]).arc, rtol=1e-12)
    assert (np.diff(curve.lengths(fine).arc) > 0).all()


def test_straight_curves_are_as_long_as_the_segment():
    start, end = random_points(2)
    distance = np.linalg.norm(stacked((end,)) - stacked((start,)))
    for kind in KINDS:
        found = Curve.straight(start, end, kind=kind, bends=3).lengths([0.25, 1.0])
        np.testing.assert_allclose(found.arc, [distance / 4, distance], rtol=1e-12)


def test_lengths_of_nodes_that_are_not_finite_are_unknown():
    one, two = random_points(2)
    for bad in (math.nan, math.inf):
        found = Curve("bezier", (one, {"w": two["w"] * bad}, two)).lengths([0.0, 1.0])
        assert all(np.isnan(values).all() for values in (found.from_start, found.from_end, found.arc))


def test_equal_ends_are_no_distance_apart():
    one, _ = random_points(2)
    found = Curve("segment", (one, one)).lengths([0.0, 0.5, 1.0])
    assert found.arc.tolist() == found.from_end.tolist() == [0, 0, 0]


@pytest.mark.parametrize("family", ["resnet", "vgg"])
def test_a_networks_state_at_a_point_has_its_parameters_there_and_its_own_buffers(family):
    depth = {"resnet": 8, "vgg": 9}[family]
    one, two = (lively(build(family, depth=depth, base_width=2, num_classes=4, input_size=8), seed=i) for i in (1, 2))
    curve = Curve.straight(parameters_of(one), parameters_of(two))
    state = whole_state(one, curve.at(0.25))
    names = {name for name, _ in one.named_parameters()}
    assert list(state) == list(one.state_dict())
    assert not any(torch.equal(tensor, curve.nodes[1][name]) for name, tensor in curve.nodes[0].items())
    for name, tensor in one.state_dict().items():
        mixed = 0.75 * tensor + 0.25 * two.state_dict()[name] if name in names else tensor
        torch.testing.assert_close(state[name], mixed, rtol=ROUNDING, atol=ROUNDING)
    end = whole_state(one, curve.at(1), dict(two.named_buffers()))
    assert all(torch.equal(end[name], tensor) for name, tensor in two.state_dict().items())


@pytest.mark.parametrize("network", [TiedWeights, ModuleTwoNames])
def test_tied_weights_are_one_and_stand_under_both_names(network):
    one, two = (made(network, seed=i) for i in range(2))
    nodes = [parameters_of(model) for model in (one, two)]
    twins = {"other.weight", "alias.weight"} & set(one.state_dict())
    assert twins and not twins & set(nodes[0]) and "conv.weight" in nodes[0]
    curve = Curve("segment", tuple(nodes))
    state = whole_state(one, curve.at(0.5))
    assert set(state) == set(one.state_dict())
    assert all(torch.equal(state[name], state["conv.weight"]) for name in twins)
    # counted once
    square = sum(float((nodes[0][name] - nodes[1][name]).square().sum()) for name in nodes[0])
    assert curve.lengths([1.0]).from_start[0] == pytest.approx(square**0.5, rel=1e-12)
    assert torch.equal(whole_state(one, curve.at(1))[twins.pop()], two.conv.weight)


def test_nodes_of_different_networks_are_refused():
    one, two = random_points(2)
    with pytest.raises(ValueError, match="^node 1 differs from node 0 in 'v'; a curve joins points of one network"):
        Curve("segment", (one, {**two, "v": two["w"]}))
    with pytest.raises(ValueError, match="^node 2 differs from node 0 in 'w'"):
        Curve("chain", (one, two, {"w": two["w"][:2]}))
    with pytest.raises(ValueError, match="^nodes has 1; a curve has at least its two ends"):
        Curve("chain", (one,))
    with pytest.raises(ValueError, match="^bends = 1 of a segment"):
        Curve("segment", (one, two, one))


def test_buffers_are_no_nodes():
    state = nn.BatchNorm1d(2).state_dict()
    with pytest.raises(ValueError, match="^nodes hold 'num_batches_tracked' of type torch.int64; a curve blends param"):
        Curve("segment", (state, state))


def test_a_curve_belongs_to_its_network():
    model = nn.Linear(2, 3)
    Curve.straight(parameters_of(model), parameters_of(model)).require(model)
    other = parameters_of(nn.Linear(2, 3, bias=False))
    text = r"^the curve's 'bias' is absent, the network's \(3,\); take nodes from `parameters_of`"
    with pytest.raises(ValueError, match=text):
        Curve.straight(other, other).require(model)
