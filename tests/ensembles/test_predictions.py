"""Class probabilities of members, against the network itself; killed and resumed."""

import math
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from lossatlas.engine.evaluator import Evaluator
from lossatlas.ensembles import predictions
from lossatlas.ensembles.predictions import predict, probabilities
from lossatlas.ensembles.scores import average, error, loss
from lossatlas.models.checkpoint import save_checkpoint
from lossatlas.sealed import write_array
from training.cases import CLASSES, network, state_of

ABOUT = {"family": "resnet", "options": {"depth": 8, "base_width": 2}, "num_classes": CLASSES, "input_size": 8}
_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["lossatlas.ensembles.predictions", "training.cases"])


def subject(members=3, n=21):
    """A network, states of it with running statistics of their own, and examples."""
    model = network("resnet", depth=8, base_width=2)
    draws = torch.Generator().manual_seed(0)
    states = []
    for seed in range(members):
        states.append(state_of(network("resnet", seed, depth=8, base_width=2)))
        for name, tensor in states[-1].items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=draws)
    return model, states, torch.randn(n, 3, 8, 8, generator=draws), torch.arange(n) % CLASSES


def test_members_say_what_the_network_says_with_their_weights():
    model, states, inputs, labels = subject()
    found = predict(model, states, inputs, labels, batch_size=8)
    assert found.shape == (3, 21, CLASSES) and found.dtype == np.float32
    for row, state in zip(found, states, strict=True):
        model.load_state_dict(state)
        with torch.no_grad():
            expected = model.eval().double()(inputs.double()).softmax(1)
        # float32 forward passes with folded normalization against float64
        np.testing.assert_allclose(row, expected.numpy(), atol=2e-6)
        model.float()


@pytest.mark.parametrize("member", range(3))
def test_an_ensemble_of_one_is_that_model(member):
    model, states, inputs, labels = subject()
    evaluator = Evaluator(model, {"test": (inputs, labels)}, batch_size=8)
    alone = evaluator(states[member])["test"]
    logits = evaluator.logits("test")
    mean = average(predict(model, states[member : member + 1], inputs, labels, batch_size=8))
    assert error(mean, labels.numpy()) == pytest.approx(1 - alone.accuracy, abs=1e-15)
    # the mean of rounding to float32, at most 6e-8 of each probability and a few 1e-7 of the evaluator's own log
    assert loss(mean, labels.numpy()) == pytest.approx(alone.loss, abs=1e-6)
    np.testing.assert_array_equal(mean.argmax(axis=1), logits.argmax(1).numpy())


def test_probabilities_of_extreme_logits():
    found = probabilities(torch.tensor([[1000.0, 0.0], [0.0, 0.0], [-1e30, 50.0]]))
    np.testing.assert_array_equal(found, np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32))


def test_probabilities_are_rounded_once():
    logits = 5 * torch.randn(20, 100, generator=torch.Generator().manual_seed(0))
    for row, found in zip(logits.tolist(), probabilities(logits), strict=True):
        total = math.fsum(math.exp(value) for value in row)
        exact = np.array([math.exp(value) / total for value in row])
        # half a unit in the last place of float32, and a little of float64
        assert np.abs(found / exact - 1).max() <= 2**-24 * (1 + 1e-6)


def test_files_and_states_give_the_same(tmp_path):
    model, states, inputs, labels = subject()
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for file, state in zip(files, states, strict=True):
        save_checkpoint(file, state, epoch=1, **ABOUT)
    before = state_of(model)
    whole = predict(model, files, inputs, labels)
    np.testing.assert_array_equal(whole, predict(model, states, inputs, labels))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_finished_members_are_not_computed_again(tmp_path, monkeypatch):
    model, states, inputs, labels = subject()
    whole = predict(model, states, inputs, labels, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "logits", None)
        again = predict(model, states, inputs, labels, folder=tmp_path)
        assert again.tobytes() == whole.tobytes()
        for change in ({"batch_size": 7}, {"inputs": inputs + 1}):
            with pytest.raises(TypeError):  # other settings, other predictions
                predict(model, states, **{"inputs": inputs, "labels": labels, "folder": tmp_path, **change})


def test_a_damaged_member_is_refused_by_name(tmp_path):
    model, states, inputs, labels = subject()
    whole = predict(model, states, inputs, labels, folder=tmp_path)
    one, two, three = sorted(tmp_path.iterdir())
    damages = {one: one.read_bytes()[:-9], two: b"", three: bytes([three.read_bytes()[0] ^ 1]) + three.read_bytes()[1:]}
    for path, content in damages.items():
        before = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path.name} is damaged: it was cut short, .*; delete it, and what it"):
            predict(model, states, inputs, labels, folder=tmp_path)
        path.write_bytes(before)
    write_array(three, np.zeros((2, 2)))
    with pytest.raises(
        ValueError, match=rf"{three.name} holds float64 of shape \(2, 2\), expected float32 .*delete it"
    ):
        predict(model, states, inputs, labels, folder=tmp_path)
    for path in (one, two, three):
        path.unlink()
    assert predict(model, states, inputs, labels, folder=tmp_path).tobytes() == whole.tobytes()


def die_after(folder, count):
    """Predict in a process that is killed when `count` members are finished."""
    torch.set_num_threads(1)
    plain, calls = predictions.probabilities, iter(range(100))

    def counted(logits):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(logits)

    predictions.probabilities = counted
    model, states, inputs, labels = subject()
    predict(model, states, inputs, labels, folder=folder)


def test_a_kill_loses_one_member_at_most(tmp_path):
    whole = predict(*subject())
    process = _FRESH.Process(target=die_after, args=(tmp_path, 2))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".npy"]) == 2
    assert predict(*subject(), folder=tmp_path).tobytes() == whole.tobytes()


def test_no_members_are_refused():
    model, _, inputs, labels = subject()
    with pytest.raises(ValueError, match="there are no members; pass the weights of at least one"):
        predict(model, [], inputs, labels)
