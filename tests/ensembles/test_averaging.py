"""Mean weights, by closed form and by brute force."""

import pytest
import torch
from torch import nn

from lossatlas.engine.evaluator import model_state
from lossatlas.engine.statistics import Statistics
from lossatlas.ensembles.averaging import average_weights
from lossatlas.models.checkpoint import save_checkpoint
from training.cases import CLASSES, network, plain_network, same_states, state_of

ABOUT = {"family": "resnet", "options": {"depth": 8, "base_width": 2}, "num_classes": CLASSES, "input_size": 8}


def states(count=3):
    return [state_of(network("resnet", seed, depth=8, base_width=2)) for seed in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_the_average_of_equal_members_is_the_member_exactly(count):
    (member,) = states(1)
    assert same_states(average_weights([member] * count), member)


def test_by_hand_from_files_and_states(tmp_path):
    members = states()
    expected = {
        name: torch.stack([member[name].double() for member in members]).mean(0).to(tensor.dtype)
        for name, tensor in members[0].items()
    }
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for file, member in zip(files, members, strict=True):
        save_checkpoint(file, member, epoch=1, **ABOUT)
    assert same_states(average_weights(files), average_weights(members))
    found = average_weights(members)
    for name, tensor in expected.items():
        # both sum in float64 and round once
        torch.testing.assert_close(found[name], tensor, rtol=2e-7, atol=0)
        assert found[name].dtype == tensor.dtype


def test_sums_are_in_float64():
    # in float32 the small ones would vanish: 1 + 2^-25 + 2^-25 = 1
    values = [1.0, 2.0**-25, 2.0**-25, 2.0**-25]
    members = [{"weight": torch.tensor([value])} for value in values]
    assert average_weights(members)["weight"].item() == torch.tensor(sum(values) / 4, dtype=torch.float64).float()
    assert average_weights(members)["weight"].item() != 0.25


def test_counters_are_those_of_the_last_member():
    members = states(2)
    members[1]["bn1.num_batches_tracked"] += 5
    assert average_weights(members)["bn1.num_batches_tracked"] == 5


def test_a_linear_networks_average_predicts_the_average_logits():
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double())
    mean = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    mean.load_state_dict(average_weights([state_of(model) for model in models]))
    inputs = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    logits = torch.stack([model(inputs) for model in models]).mean(0)
    torch.testing.assert_close(mean(inputs), logits, rtol=0, atol=1e-14)


def test_statistics_of_the_average_are_not_the_average_of_statistics():
    model = network("resnet", depth=8, base_width=2)
    inputs = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    refreshed = Statistics(model, inputs, batch_size=16)
    members = [refreshed(state) for state in states()]
    mean = average_weights(members)
    fresh = refreshed(mean)
    assert all(torch.equal(fresh[name], mean[name]) for name, _ in model.named_parameters())
    name = [name for name in mean if name.endswith("running_var")][-1]
    assert not torch.allclose(fresh[name], mean[name], rtol=0.05)


def test_members_are_left_as_they_are():
    members = states(2)
    before = [{name: tensor.clone() for name, tensor in member.items()} for member in members]
    average_weights(members)
    assert all(same_states(*pair) for pair in zip(members, before, strict=True))


def test_members_of_two_networks_are_refused():
    with pytest.raises(ValueError, match="member 1 differs from the first in names or shapes"):
        average_weights([states(1)[0], model_state(plain_network())])
    with pytest.raises(ValueError, match="there are no members to average"):
        average_weights([])
