"""State files that are damaged or belong to something else."""

import pickle
import random
from dataclasses import asdict

import pytest
import torch

from lossatlas.training.state import Progress, load_state, save_state
from training.cases import make_data, network, plain_network, recipe, run, same_states, state_of

DATA = make_data()


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state.pt"
    run(plain_network(), DATA, recipe(), state=path)
    return path


def reload(path, **settings):
    return run(plain_network(), DATA, recipe(**settings), state=path)


def assert_damaged(path):
    with pytest.raises(ValueError) as caught:
        reload(path)
    message = str(caught.value)
    assert message.startswith(f"the training state {path} is damaged (")
    assert message.endswith("; delete it to train from the start")


def test_all_of_it_comes_back(tmp_path):
    path = tmp_path / "state.pt"
    model = network("resnet", depth=8, base_width=4)
    optimizer = recipe(optimizer="adam").make_optimizer(model)
    model(torch.rand(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    progress = Progress(2, [[1.0, float("nan")]], [0.1, 1 / 3], [7.0], [0.5], "diverged", "note", "{}")
    save_state(path, model, optimizer, progress)
    other = network("resnet", seed=1, depth=8, base_width=4)
    other_optimizer = recipe(optimizer="adam").make_optimizer(other)
    loaded = load_state(path, other, other_optimizer)
    assert repr(asdict(loaded)) == repr(asdict(progress))
    assert same_states(state_of(model), state_of(other))
    for one, two in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"PK\x03\x04", b"\x80\x02", b"{}", random.Random(0).randbytes(500), pickle.dumps({"model": 1})],
)
def test_something_else_than_a_state(state, content):
    state.write_bytes(content)
    assert_damaged(state)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99, 1.0])
def test_a_truncated_file(state, part):
    content = state.read_bytes()
    state.write_bytes(content[: int(len(content) * part) - 1])
    assert_damaged(state)


def test_another_archive(state):
    torch.save({"weights": torch.zeros(3)}, state)
    with pytest.raises(ValueError, match=r"is damaged \(ValueError: model is missing\); delete it"):
        reload(state)
    torch.save([1, 2], state)
    assert_damaged(state)


def test_a_changed_bit_is_noticed_or_does_not_matter(state, tmp_path):
    content = state.read_bytes()
    expected = reload(state)
    draws = random.Random(0)
    noticed = 0
    for _ in range(60):
        changed = bytearray(content)
        changed[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
        state.write_bytes(changed)
        try:
            history, _ = reload(state)
        except ValueError as error:
            assert "delete it to train from the start" in str(error)
            noticed += 1
        else:  # padding between the parts
            assert history.step_weight_norm.tolist() == expected[0].step_weight_norm.tolist()
    assert noticed > 15


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"lr": 0.01}, "lr is 0.05 there, 0.01 here"),
        ({"weight_decay": 0.0}, "weight_decay is 0.0005 there, 0.0 here"),
        ({"optimizer": "adam"}, "optimizer is 'sgd' there, 'adam' here"),
        ({"epochs": 3}, "epochs is 2 there, 3 here"),
    ],
)
def test_a_state_of_another_recipe(state, settings, difference):
    with pytest.raises(ValueError) as caught:
        reload(state, **settings)
    assert f"{state} belongs to another seed or recipe ({difference}); delete it" in str(caught.value)


def test_a_state_of_another_seed(state):
    with pytest.raises(ValueError, match=r"another seed or recipe \(seed is 3 there, 4 here\)"):
        run(plain_network(), DATA, recipe(), state=state, seed=4)


@pytest.mark.parametrize("make", [lambda: network("resnet", depth=8, base_width=4), lambda: plain_network(size=9)])
def test_a_state_of_another_network(state, make):
    data = make_data(size=9 if "Flatten" in str(make()) else 8)
    with pytest.raises(ValueError, match=r"state.pt belongs to another network \(Error"):
        run(make(), data, recipe(), state=state)


def test_no_unfinished_files_are_left(state):
    assert [path.name for path in state.parent.iterdir()] == ["state.pt"]
