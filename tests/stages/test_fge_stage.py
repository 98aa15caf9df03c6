"""The stage `fge` after a training of four epochs."""

import math
import multiprocessing
import shutil
import signal

import numpy as np
import pytest
import torch
from ensemble_cases import STEPS, cycled, cycles_job, files, trained
from stage_cases import published_data

from lossatlas.ensembles.members import cycle_epochs
from lossatlas.files import read_json, write_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import History
from lossatlas.stages import fge
from lossatlas.stages.data import load
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe
from training.killed import arm

_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["lossatlas.stages.fge", "training.killed", "ensemble_cases", "torch._dynamo", "h5py"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A root folder, its data, a run with its own augmentation, momentum and schedule, and its cycles."""
    root = tmp_path_factory.mktemp("place")
    torch.set_num_threads(1)
    digits = published_data(root)
    settings = {"momentum": 0.8, "nesterov": False, "augment": {"padding": 1, "flip": True}, "micro_batch": 8}
    run = trained(root, digits, "a", **settings)
    return root, digits, run, cycled(root, "whole", digits, run)


def about(folder):
    return read_json(folder / "fge.json")


def test_it_says_what_was_done(place):
    _, _, run, out = place
    assert sorted(files(out)) == ["fge.json", "history.h5", "member_0001.safetensors", "member_0003.safetensors"]
    found, base = about(out), read_json(run / "run.json")
    assert {key: found[key] for key in ("family", "options", "data", "num_classes")} == {
        key: base[key] for key in ("family", "options", "data", "num_classes")
    }
    assert (found["run"], found["run_title"], found["normalization"]) == ("a", "Small", "li")
    assert (found["status"], found["reason"], found["members"]) == ("finished", "", [1, 3])
    schedule = ("start", "epochs", "cycle_epochs", "high", "low", "seed", "batch_size", "steps_per_epoch")
    assert [found[key] for key in schedule] == [2, 3, 2, 0.02, 0.001, 5, 16, STEPS]
    history = History.load(out / "history.h5")
    names = ("train_loss", "train_error", "test_loss", "test_error")
    assert found["final"] == {name: getattr(history, name)[-1] for name in names}


def test_it_begins_at_the_checkpoint_of_the_run(place):
    _, _, run, out = place
    base, history = History.load(run / "history.h5"), History.load(out / "history.h5")
    for name in ("train_loss", "train_error", "test_loss", "test_error", "weight_norm"):
        assert getattr(history, name)[0] == getattr(base, name)[2], name
    assert about(out)["start_test_error"] == base.test_error[2]


def test_members_are_taken_after_the_step_at_the_lowest_rate(place):
    out = place[3]
    history = History.load(out / "history.h5")
    rates = history.step_learning_rate
    assert [int(step) for step in np.flatnonzero(rates == 0.001) + 1] == [e * STEPS for e in cycle_epochs(3, 2)]
    assert rates.min() == 0.001 and rates[2 * STEPS - 1] == rates.max() == 0.02
    for epoch in (1, 3):
        member = load_checkpoint(out / f"member_{epoch:04d}.safetensors")
        assert member.epoch == 2 + epoch and member.extra == {"cycles_epoch": epoch}
        weights = [tensor for name, tensor in member.build().named_parameters() if tensor.dim() > 1]
        norm = math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in weights))
        assert norm == pytest.approx(history.weight_norm[epoch], rel=1e-6)


def test_distances_are_those_of_the_weights(place):
    _, _, run, out = place
    found = about(out)["distance"]
    start = load_checkpoint(run / "epoch_0002.safetensors").build()
    assert len(found) == 4 and found[0] == 0
    for epoch in (1, 3):
        member = load_checkpoint(out / f"member_{epoch:04d}.safetensors").build()
        pairs = zip(member.parameters(), start.parameters(), strict=True)
        squares = sum(float((p.detach().double() - q.detach().double()).square().sum()) for p, q in pairs)
        assert found[epoch] == pytest.approx(math.sqrt(squares), rel=1e-12) and found[epoch] > 0


def test_the_runs_own_recipe_goes_on_with_momentum_from_zero(place):
    """The same training by hand."""
    root, digits, run, out = place
    recipe = Recipe(
        epochs=3,
        batch_size=16,
        lr=0.02,
        momentum=0.8,
        nesterov=False,
        schedule="fge_triangle",
        schedule_options={"low": 0.001, "cycle_epochs": 2},
        augment={"padding": 1, "flip": True},
        micro_batch=8,
    )
    model = load_checkpoint(run / "epoch_0002.safetensors").build()
    made = cycles_job(root, "by_hand", digits, run)
    seed = fge.derived_seed(5, "fge")
    train(model, load(made.places["data"], made), recipe, seed=seed, keep=lambda *_: None)
    member = load_checkpoint(out / "member_0003.safetensors").state
    assert all(torch.equal(tensor, member[name]) for name, tensor in model.state_dict().items())


def test_another_seed_is_another_training(place, tmp_path):
    _, digits, run, out = place
    for seed, same in ((5, True), (0, False)):
        other = cycled(tmp_path, f"seed{seed}", digits, run, seed=seed)
        assert (files(other) == files(out)) is same


def test_the_order_is_not_the_runs_own(place, tmp_path):
    """A run without augmentation at a constant rate, and cycles at that rate that would go on in its order."""
    digits = place[1]
    run = trained(tmp_path, digits, "flat", seed=5, momentum=0.0, epochs=1)
    first = cycled(tmp_path, "cycles", digits, run, start=1, epochs=1, high=0.05, low=0.05 * (1 - 1e-9), seed=5)
    model = load_checkpoint(run / "final.safetensors").build()
    made = cycles_job(tmp_path, "by_hand", digits, run)
    recipe = Recipe(epochs=1, batch_size=16, lr=0.05, momentum=0.0, schedule="constant")
    train(model, load(made.places["data"], made), recipe, seed=5, keep=lambda *_: None)
    member = load_checkpoint(first / "member_0001.safetensors").state
    # in one order the rates, equal to a billionth, would give equal weights but for rounding
    assert not torch.allclose(member["conv1.weight"], model.conv1.weight, rtol=0, atol=1e-4)


def test_cycles_may_begin_at_the_end_of_the_run(place, tmp_path):
    _, digits, run, _ = place
    out = cycled(tmp_path, "end", digits, run, start=4, epochs=1)
    assert about(out)["start_test_error"] == read_json(run / "run.json")["final"]["test_error"]
    assert load_checkpoint(out / "member_0001.safetensors").epoch == 5


def test_cycles_of_a_run_that_diverged_are_skipped(place, tmp_path):
    _, digits, run, _ = place
    wild = shutil.copytree(run, tmp_path / "wild")
    write_json(wild / "run.json", read_json(run / "run.json") | {"status": "diverged", "note": "epoch 3: too far"})
    out = cycled(tmp_path, "skipped", digits, wild)
    found = about(out)
    assert sorted(files(out)) == ["fge.json"]
    assert (found["status"], found["reason"]) == ("skipped", "the run diverged (epoch 3: too far)")
    assert (found["members"], found["distance"], found["start_test_error"]) == ([], [], None)
    assert set(found["final"].values()) == {None} and found.keys() == about(place[3]).keys()


def test_cycles_from_weights_that_are_not_there_are_skipped(place, tmp_path):
    _, digits, run, _ = place
    poor = shutil.copytree(run, tmp_path / "poor")
    (poor / "epoch_0002.safetensors").unlink()
    found = about(cycled(tmp_path, "skipped", digits, poor))
    assert (found["status"], found["reason"]) == ("skipped", "the run keeps no weights of epoch 2")


def test_cycles_that_diverge_are_skipped_and_keep_their_history(place, tmp_path):
    _, digits, run, _ = place
    out = cycled(tmp_path, "wild", digits, run, high=1e12, low=1e11)
    history, found = History.load(out / "history.h5"), about(out)
    assert sorted(files(out)) == ["fge.json", "history.h5"] and history.status == "diverged"
    assert (found["status"], found["reason"]) == ("skipped", f"the cycles diverged ({history.note})")
    assert found["members"] == [] and set(found["final"].values()) == {None}
    assert found["start_test_error"] == about(place[3])["start_test_error"]
    assert len(found["distance"]) == len(history.epoch) and found["distance"][0] == 0


def compute_and_die(root, digits, run, death):
    """Compute the stage in a process that ends as `death` says."""
    torch.set_num_threads(1)
    if death:
        arm(*death)
    fge.compute(cycles_job(root, "killed", digits, run))


def apart(*arguments):
    process = _FRESH.Process(target=compute_and_die, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize(
    "deaths",
    [
        [("step", STEPS + 2)],
        [("before state", 1), ("after state", 3)],  # the first keeps the member and not the state
        [("writing weights", 0), ("writing state", 1)],
    ],
    ids=str,
)
def test_a_kill_loses_one_epoch_at_most_and_changes_nothing(place, tmp_path, deaths):
    _, digits, run, out = place
    for death in deaths:
        assert apart(tmp_path, digits, run, death) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "out" / "fge.json").exists()
    if deaths[-1] == ("step", STEPS + 2):  # in the second epoch: the first is not trained again
        state = torch.load(tmp_path / "killed" / "work" / "state.pt", weights_only=True)
        assert state["progress"]["epoch"] == 1
    assert apart(tmp_path, digits, run, None) == 0
    assert files(tmp_path / "killed" / "out") == files(out)


@pytest.mark.parametrize("lost", ["out/member_0001.safetensors", "work/distance.json"])
def test_what_was_removed_is_trained_again(place, tmp_path, lost):
    _, digits, run, out = place
    cycled(tmp_path, "killed", digits, run)
    (tmp_path / "killed" / lost).unlink()
    assert files(cycled(tmp_path, "killed", digits, run)) == files(out)
