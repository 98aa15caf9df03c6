"""Stage `probe` on a tiny ResNet."""

import math
from dataclasses import asdict

import pytest
import torch
from stage_cases import diverged, job, published_data, trained

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.files import read_json
from lossatlas.landscape.condition import slice_condition
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.gradients import gradient_agreement, mini_batches
from lossatlas.landscape.points import displaced
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import History
from lossatlas.settings.studies import ProbeSettings
from lossatlas.stages import probe
from lossatlas.stages.data import load_checked
from lossatlas.stages.landscape import load_subject

SETTINGS = {
    "run": "resnet",
    "seed": 5,
    "exclude_1d": True,
    "train_examples": 24,
    "batch_size": 16,
    "schemes": ["li", "glorot"],
    "repeats": 2,
    "gradient_batches": 4,
    "gradient_batch_size": 16,
    "far": 0.5,
    "cosines": 5,
    "krylov": 4,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("probe")
    digits = published_data(root)
    return root, {"data": digits, "run": trained(root, digits, "resnet", depth=8, base_width=2)}


def made(place, name, **changes):
    root, inputs = place
    return job(root, name, ProbeSettings(**SETTINGS | changes).model_dump(), inputs)


@pytest.fixture(scope="module")
def out(place):
    work = made(place, "resnet")
    probe.compute(work)
    return work.out


def directions(model):
    return [random_direction(model.state_dict(), seed=5, stream=f"direction_{axis}") for axis in "xy"]


def test_what_was_probed(place, out):
    about, run = read_json(out / "probe.json"), read_json(place[1]["run"] / "run.json")
    assert (about["status"], about["run"], about["examples"], about["samples_train"]) == ("finished", "resnet", 24, 24)
    assert about["parameters"] == run["parameters"] > about["random_cosine"]["dimensions"]
    cosine = about["random_cosine"]
    assert cosine["expected"] == pytest.approx(math.sqrt(2 / (math.pi * cosine["dimensions"])), rel=1e-14)
    assert cosine["pairs"] == 5
    assert about["initialization_batch_size"] == 16
    for scheme in SETTINGS["schemes"]:
        for mode in ("train_mode", "eval_mode"):
            first, second = about["initialization"][scheme][mode]
            assert 0 < first < 10 and first != second


def test_the_first_initialization_is_the_runs_own(place):
    work = made(place, "whole", train_examples=64, schemes=["li"], repeats=1, cosines=2, krylov=1)
    probe.compute(work)
    (found,) = read_json(work.out / "probe.json")["initialization"]["li"]["eval_mode"]
    start = History.load(place[1]["run"] / "history.h5").train_loss[0]
    # float32; the history's is evaluated with folded batch normalization
    assert found == pytest.approx(start, rel=1e-6)


def test_gradients_are_those_of_the_whole_training_set_at_the_planes_points(place, out):
    work, found = made(place, "resnet"), read_json(out / "probe.json")["gradients"]
    data = load_checked(work)
    examples = normalize(data.train_images, NORMALIZATIONS["li"]), data.train_labels
    batches = mini_batches(examples, batches=4, batch_size=16, seed=5)
    model = load_checkpoint(place[1]["run"] / "final.safetensors").build()
    assert [(point["x"], point["y"]) for point in found["far"]] == [(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)]
    for point in [{"x": 0, "y": 0, **found["centre"]}, *found["far"]]:
        state = displaced(model.state_dict(), directions(model), (point["x"], point["y"]))
        expected = asdict(gradient_agreement(model, batches, state=state))
        for name in ("loss", "mean_cosine", "std_cosine", "mean_norm"):
            assert point[name] == expected[name]
    assert (found["batches"], found["batch_size"]) == (4, 16)
    # four mini-batches of sixteen are all the images
    run = read_json(place[1]["run"] / "run.json")
    assert found["centre"]["loss"] == pytest.approx(run["final"]["train_loss"], rel=1e-5)


def test_condition_numbers_at_the_checkpoint(place, out):
    found, subject = read_json(out / "probe.json")["condition"], load_subject(made(place, "resnet"))
    operator = HessianOperator(subject.model, subject.train, batch_size=16)
    expected = slice_condition(
        operator.product, *(operator.flatten(axis.tensors) for axis in directions(subject.model))
    )
    assert found["slice"] == expected.condition and found["slice_eigenvalues"] == list(expected.eigenvalues)
    assert found["krylov"] == 4 and found["lambda_min"] < found["lambda_max"]
    largest = max(abs(found["lambda_max"]), abs(found["lambda_min"]))
    assert found["full_lower_bound"] == pytest.approx(largest / (found["smallest_norm"] + found["rounding"]))
    # the curvature of a direction is no larger than the largest eigenvalue, which Lanczos finds within its residual
    assert found["slice_eigenvalues"][1] <= found["lambda_max"] + found["residual_max"]


def test_the_same_settings_give_the_same_bytes(place, out):
    again = made(place, "again")
    probe.compute(again)
    assert (again.out / "probe.json").read_bytes() == (out / "probe.json").read_bytes()


def test_a_killed_stage_keeps_its_finished_parts(place, out, monkeypatch):
    again = made(place, "killed")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(probe, "random_cosines", killed)
        with pytest.raises(KeyboardInterrupt):
            probe.compute(again)
    with monkeypatch.context() as patch:
        patch.setattr(probe, "initial_losses", killed)
        patch.setattr(probe, "gradient_agreement", killed)
        probe.compute(again)
    assert (again.out / "probe.json").read_bytes() == (out / "probe.json").read_bytes()


def test_of_a_run_that_diverged_the_initialization_is_left(place, out):
    root, inputs = place
    settings = ProbeSettings(**SETTINGS).model_dump()
    work = job(root, "skipped", settings, inputs | {"run": diverged(root, inputs["run"])})
    probe.compute(work)
    about, finished = (read_json(folder / "probe.json") for folder in (work.out, out))
    assert (about["status"], about["reason"]) == ("skipped", "the run diverged (epoch 1: weights not finite)")
    assert about["initialization"] == finished["initialization"]
    assert about["gradients"] is about["random_cosine"] is about["condition"] is None
    assert about.keys() == finished.keys()


def test_more_mini_batches_than_images_are_refused(place):
    with pytest.raises(ValueError, match="5 disjoint mini-batches of 16 need 80 examples, there are 64"):
        probe.compute(made(place, "many", gradient_batches=5))
    assert torch.is_grad_enabled()
