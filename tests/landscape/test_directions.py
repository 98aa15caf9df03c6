import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from landscape.cases import small_model
from lossatlas.landscape.directions import (
    Direction,
    direction_between,
    normalize_like,
    parameter_names,
    random_direction,
)
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.models.weights import weights_hash

OPTIONS = {"depth": 8, "base_width": 2}


def equal(a, b):
    return (
        a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(a.tensors[n], b.tensors[n]) and a.tensors[n].dtype == b.tensors[n].dtype for n in a.tensors)
        and a.description() == b.description()
    )


@pytest.fixture
def state():
    return small_model().state_dict()


@pytest.fixture
def other():
    return {n: t + 0.1 if t.is_floating_point() else t for n, t in small_model().state_dict().items()}


def test_filter_norms_are_those_of_the_weights(state):
    direction = random_direction(state, seed=0)
    for name, found in direction.tensors.items():
        for filter_d, filter_w in zip(found, state[name], strict=True):
            assert float(filter_d.norm()) == pytest.approx(float(filter_w.norm()), rel=1e-9)


def test_layer_norms_are_those_of_the_weights(state):
    for name, found in random_direction(state, seed=0, normalization="layer").tensors.items():
        assert float(found.norm()) == pytest.approx(float(state[name].norm()), rel=1e-9)


def test_weight_normalization_multiplies_and_none_leaves_the_numbers(state):
    drawn = random_direction(state, seed=0, normalization="none").tensors
    scaled = random_direction(state, seed=0, normalization="weight").tensors
    assert all(torch.equal(scaled[name], drawn[name] * state[name]) for name in drawn)
    numbers = torch.cat([tensor.flatten() for tensor in drawn.values()])
    # about 700 standard normal numbers
    assert abs(float(numbers.mean())) < 0.2 and abs(float(numbers.std()) - 1) < 0.15


@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=4),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e30]),
    kind=st.sampled_from(["filter", "layer"]),
)
@settings(deadline=None, max_examples=60)
def test_normalization_of_any_shape(shape, scale, kind):
    draws = torch.Generator().manual_seed(0)
    weight, noise = (torch.randn(shape, generator=draws, dtype=torch.float64) for _ in range(2))
    found = normalize_like(noise, weight * scale, kind)
    assert found.shape == weight.shape
    axes = tuple(range(1, len(shape))) if kind == "filter" and len(shape) > 1 else None
    norms = [torch.linalg.vector_norm(t, dim=axes) for t in (found, weight * scale)]
    torch.testing.assert_close(*norms, rtol=1e-6, atol=0)


def test_empty_filters_do_not_divide_by_zero():
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert normalize_like(torch.ones(2, 2), weight, "filter")[0].tolist() == [0, 0]
    assert torch.isfinite(normalize_like(torch.zeros(2, 2), weight, "filter")).all()


def test_biases_and_normalization_stay_unless_asked(state):
    moving = random_direction(state, seed=0).tensors
    assert moving and all(state[name].dim() > 1 for name in moving)
    everything = random_direction(state, seed=0, exclude_1d=False).tensors
    assert set(everything) == {name for name, _ in small_model().named_parameters()} > set(moving)
    assert float(everything["bn1.weight"].norm()) == pytest.approx(float(state["bn1.weight"].norm()), rel=1e-9)
    # what else moves does not change the numbers
    assert all(torch.equal(moving[name], everything[name]) for name in moving)


def test_running_statistics_are_no_parameters(state):
    assert set(parameter_names(state)) == {name for name, _ in small_model().named_parameters()}


def test_the_caller_may_say_what_moves(state):
    assert set(random_direction(state, seed=0, parameters=["conv1.weight"]).tensors) == {"conv1.weight"}
    with pytest.raises(ValueError, match="no weights with more than one dimension to move; pass exclude_1d=False"):
        random_direction(state, seed=0, parameters=["bn1.weight"])


def test_seeds_and_streams_give_unrelated_numbers(state):
    directions = [
        random_direction(state, seed=seed, stream=stream, normalization="none")
        for seed in (0, 1, 2)
        for stream in ("direction_x", "direction_y")
    ]
    flat = torch.stack([torch.cat([t.flatten() for t in d.tensors.values()]) for d in directions])
    # independent numbers: correlations are about 1 / sqrt(n), here 0.04
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.2


def test_tensors_of_one_direction_have_unrelated_numbers(state):
    tensors = random_direction(state, seed=0, normalization="none").tensors
    firsts = [float(tensor.flatten()[0]) for tensor in tensors.values()]
    assert len(set(firsts)) == len(firsts)


def test_the_same_seed_gives_the_same_numbers_whatever_happens_around(state):
    with torch.random.fork_rng([]):
        before = torch.get_rng_state()
        first = random_direction(state, seed=3)
        assert torch.equal(before, torch.get_rng_state())
        torch.rand(5)
        assert equal(first, random_direction(state, seed=3))
    assert not equal(first, random_direction(state, seed=4))


def test_the_order_of_the_names_does_not_matter(state, tmp_path):
    model = small_model()
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, model, family="resnet", options=OPTIONS, num_classes=4, input_size=8, epoch=0)
    stored = load_checkpoint(path).state
    assert list(stored) != list(state)
    assert equal(random_direction(stored, seed=0), random_direction(state, seed=0))


def test_a_direction_knows_where_it_comes_from(state):
    about = random_direction(state, seed=5, stream="direction_y", normalization="layer").description()
    assert about == {
        "weights": weights_hash(state),
        "kind": "random",
        "normalization": "layer",
        "exclude_1d": True,
        "span": "weights",
        "seed": 5,
        "stream": "direction_y",
        "end": None,
    }


def test_between_is_the_difference(state, other):
    direction = direction_between(state, other)
    assert set(direction.tensors) == set(parameter_names(state))
    assert all(torch.equal(t, other[name] - state[name]) for name, t in direction.tensors.items())
    assert (direction.weights, direction.end) == (weights_hash(state), weights_hash(other))


def test_between_states_moves_running_statistics(state, other):
    tensors = direction_between(state, other, span="states").tensors
    assert {"bn1.running_mean", "bn1.running_var"} <= set(tensors)
    assert not any(name.endswith("num_batches_tracked") for name in tensors)


@pytest.mark.parametrize("span", ["weights", "states"])
@pytest.mark.parametrize("which", [0, 1])
def test_checkpoints_of_different_networks_are_refused(state, other, span, which):
    ends = [dict(state), dict(other)]
    del ends[which]["conv1.weight"]
    with pytest.raises(ValueError, match="the two checkpoints differ in 'conv1.weight'"):
        direction_between(*ends, span=span)


def test_checkpoints_of_different_shapes_are_refused(state):
    with pytest.raises(ValueError, match="the two checkpoints differ in 'conv1.weight'"):
        direction_between(state, small_model(base_width=4).state_dict())


def test_a_direction_of_other_weights_is_refused(state, other):
    with pytest.raises(ValueError, match="the direction belongs to the weights .*make a new direction"):
        random_direction(state, seed=0).require(other)


def test_a_direction_of_another_network_is_refused(state):
    wide = small_model(base_width=4).state_dict()
    with pytest.raises(ValueError, match=r"'conv1.weight' has shape \(4, 3, 3, 3\), the weights': \(2, 3, 3, 3\)"):
        random_direction(wide, seed=0).require(state)
    with pytest.raises(ValueError, match="the weights': absent"):
        random_direction(wide, seed=0).require({})


def test_running_statistics_belong_to_the_weights(state):
    direction = random_direction(state, seed=0)
    direction.require({n: t + 1 if n.endswith("num_batches_tracked") else t for n, t in state.items()})
    with pytest.raises(ValueError, match="make a new direction"):
        direction.require({n: t + 1 if n.endswith("running_mean") else t for n, t in state.items()})


def made(kind, state, other):
    if kind == "between":
        return direction_between(state, other, span="states")
    return random_direction(state, seed=0)


@pytest.mark.parametrize("kind", ["random", "between"])
def test_round_trip_and_stable_bytes(kind, state, other, tmp_path):
    direction = made(kind, state, other)
    paths = [tmp_path / "a.safetensors", tmp_path / "b" / "c.safetensors"]
    direction.save(paths[0])
    loaded = Direction.load(paths[0])
    assert equal(loaded, direction)
    loaded.save(paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    loaded.require(state)


def test_tensors_that_share_memory_can_be_saved(tmp_path):
    flat = torch.arange(6.0)
    direction = Direction(tensors={"a": flat[:4], "b": flat[2:], "c": flat.view(2, 3).T}, weights="w", kind="between")
    direction.save(tmp_path / "d")
    assert Direction.load(tmp_path / "d").tensors["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.safetensors does not exist"):
        Direction.load(tmp_path / "nothing.safetensors")


def test_truncated_files_are_refused_by_name(state, tmp_path):
    path = tmp_path / "cut.safetensors"
    random_direction(state, seed=0).save(path)
    content = path.read_bytes()
    for length in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut.safetensors is damaged"):
            Direction.load(path)


def test_a_changed_number_is_noticed(state, tmp_path):
    path = tmp_path / "flipped.safetensors"
    random_direction(state, seed=0).save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="flipped.safetensors is damaged .its numbers"):
        Direction.load(path)


@pytest.mark.parametrize(
    "about", [None, {}, {"lossatlas": "{"}, {"lossatlas": "[]"}, {"lossatlas": json.dumps({"weights": 1})}]
)
def test_foreign_files_are_refused_by_name(about, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata=about)
    with pytest.raises(ValueError, match="foreign.safetensors (is damaged or )?holds no direction"):
        Direction.load(path)


def test_a_checkpoint_is_not_a_direction(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, small_model(), family="resnet", options=OPTIONS, num_classes=4, input_size=8, epoch=0)
    with pytest.raises(ValueError, match="holds no direction; it may be a checkpoint"):
        Direction.load(path)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_filter_normalization_takes_biases_themselves(shape):
    """As Li et al.'s program does; the others scale the draw."""
    draws = torch.Generator().manual_seed(0)
    weight, noise = (torch.randn(shape, generator=draws, dtype=torch.float64) for _ in range(2))
    found = normalize_like(noise, weight, "filter")
    assert torch.equal(found, weight)
    assert found.data_ptr() != weight.data_ptr()  # nobody who changes the direction changes the network
    assert torch.equal(normalize_like(noise, weight, "weight"), noise * weight)
    torch.testing.assert_close(
        normalize_like(noise, weight, "layer"), noise * weight.norm() / noise.norm(), rtol=1e-6, atol=0
    )


def test_axes_that_move_biases_agree_there_and_only_there(state):
    axes = [random_direction(state, seed=0, stream=s, exclude_1d=False).tensors for s in ("direction_x", "direction_y")]
    for name, tensor in axes[0].items():
        assert torch.equal(tensor, axes[1][name]) is (tensor.dim() == 1)
        assert torch.equal(tensor, state[name]) is (tensor.dim() == 1)


def test_paths_may_be_strings(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    direction = random_direction(state, seed=0)
    direction.save("d.safetensors")
    assert equal(Direction.load("d.safetensors"), direction)
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        Direction.load("absent")


def test_networks_in_the_place_of_weights_are_refused(state):
    model = small_model()
    message = r"not from a network \(ResNet\); pass `model.state_dict\(\)`"
    for call in (
        lambda: random_direction(model, seed=0),
        lambda: direction_between(model, state),
        lambda: direction_between(state, model),
    ):
        with pytest.raises(TypeError, match=message):
            call()
