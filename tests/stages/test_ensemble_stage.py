"""The stage `ensemble` on trainings of four epochs."""

import shutil

import numpy as np
import pytest
import torch
from ensemble_cases import EPOCHS, STEPS, cycled, ensemble_job, ensembled, files, trained
from stage_cases import published_data

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.statistics import Statistics
from lossatlas.ensembles.scores import average, error, loss
from lossatlas.files import read_json, write_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import History, Predictions
from lossatlas.stages import ensemble
from lossatlas.stages.data import load

COSINE = {"schedule": "cosine_cycles", "schedule_options": {"cycles": 2}}


class Place:
    """Two independent runs, one in cosine cycles, and the cycles from each of the first two."""

    def __init__(self, root):
        self.root, self.digits = root, published_data(root)
        self.runs = {name: trained(root, self.digits, name, seed=seed) for seed, name in enumerate("ab")}
        self.runs["sse"] = trained(root, self.digits, "sse", seed=2, **COSINE)
        self.cycles = {
            n: cycled(root, f"fge_{n}", self.digits, self.runs[n], run=n, seed=s) for s, n in enumerate("ab")
        }

    def ensemble(self, root, name, budgets, *, run="a", **settings):
        """The output folder of an ensemble of the runs, or of the cycles, of these names."""
        known = self.cycles if settings.get("method") == "fge" else self.runs
        members = [[(member, known[member]) for member in budget] for budget in budgets]
        return ensembled(root, name, self.digits, self.runs[run], members, **settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("place"))


def about(out):
    return read_json(out / "ensemble.json")


def test_an_ensemble_of_one_run_is_that_run(place, tmp_path):
    found = about(place.ensemble(tmp_path, "one", [["a"]]))
    final = read_json(place.runs["a"] / "run.json")["final"]
    history = History.load(place.runs["a"] / "history.h5")
    assert final["test_loss"] == history.test_loss[-1]
    (member,) = found["members"]
    # batches of 8 in the place of 16: rounding of float32
    for scores in (member, found["pooled"][0], found["by_size"][0]):
        assert scores["error"] == pytest.approx(final["test_error"], abs=1e-15)
        assert scores["loss"] == pytest.approx(final["test_loss"], rel=1e-5)
    assert found["one_budget"]["errors"] == [member["error"]] and found["one_budget"]["losses"] == [member["loss"]]
    assert (found["one_budget"]["mean"], found["one_budget"]["spread"]) == (member["error"], None)
    assert found["pooled"][0]["disagreement"] is None and found["pooled"][0]["divergence"] is None
    assert len(found["pooled"]) == len(found["by_size"]) == 1 and found["averaged"] is None


def test_it_says_what_it_is(place, tmp_path):
    out = place.ensemble(tmp_path, "two", [["a"], ["b"]])
    found, run = about(out), read_json(place.runs["a"] / "run.json")
    assert sorted(files(out)) == ["ensemble.json", "predictions.h5"]
    assert (found["status"], found["reason"], found["run"], found["run_title"]) == ("finished", "", "a", "Small")
    assert (found["network"], found["data"], found["method"], found["title"]) == ("small", "digits", "ind", "Small")
    assert (found["family"], found["options"], found["num_classes"]) == ("resnet", run["options"], 10)
    assert (found["budget_epochs"], found["snapshots"], found["calibration_bins"]) == (4, 2, 5)
    assert (found["test_examples"], found["train"]) == (16, run["train"])
    assert found["budgets"] == [
        {"name": "a", "epochs": 4, "shared_epochs": 0, "seed": 0, "members": 1},
        {"name": "b", "epochs": 4, "shared_epochs": 0, "seed": 1, "members": 1},
    ]
    assert found["schedule"] == {"name": "constant", "lr": 0.05, "epochs": 4, "steps_per_epoch": STEPS}


def test_every_number_is_arithmetic_on_the_saved_predictions(place, tmp_path):
    out = place.ensemble(tmp_path, "two", [["a"], ["b"]])
    found, saved = about(out), Predictions.load(out / "predictions.h5")
    assert saved.probability.dtype == np.float32 and saved.probability.shape == (2, 16, 10)
    np.testing.assert_allclose(saved.probability.sum(axis=2), 1, atol=1e-6)
    assert (saved.budget.tolist(), saved.epoch.tolist()) == ([0, 1], [4, 4])
    assert saved.members == ("a epoch 4", "b epoch 4")
    for i, member in enumerate(found["members"]):
        assert (member["budget"], member["name"], member["epoch"]) == (i, saved.members[i], 4)
        assert member["loss"] == loss(saved.probability[i], saved.label)
    both = average(saved.probability)
    assert found["pooled"][1]["error"] == error(both, saved.label)
    assert found["pooled"][1]["loss"] == loss(both, saved.label)
    assert [(row["budgets"], row["members"]) for row in found["pooled"]] == [(1, 1), (2, 2)]
    assert found["pooled"][1]["divergence"] > 0
    errors = found["one_budget"]["errors"]
    assert found["one_budget"]["spread"] == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)


def test_predictions_are_those_of_the_final_weights(place, tmp_path):
    saved = Predictions.load(place.ensemble(tmp_path, "two", [["a"], ["b"]]) / "predictions.h5")
    data, inputs = clean_examples(place)
    assert saved.label.tolist() == data.test_labels.tolist()
    for row, name in zip(saved.probability, "ab", strict=True):
        model = load_checkpoint(place.runs[name] / "final.safetensors").build()
        with torch.no_grad():
            expected = model.double()(inputs.double()).softmax(1)
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def clean_examples(place):
    made = ensemble_job(place.root, "data", place.digits, place.runs["a"], [[("a", place.runs["a"])]])
    data = load(made.places["data"], made)
    return data, normalize(data.test_images, NORMALIZATIONS["li"])


def test_snapshots_are_the_ends_of_the_cycles(place, tmp_path):
    found = about(out := place.ensemble(tmp_path, "sse", [["sse"]], run="sse", method="sse"))
    assert [(member["name"], member["epoch"]) for member in found["members"]] == [
        ("sse epoch 2", 2),
        ("sse epoch 4", 4),
    ]
    assert found["budgets"] == [{"name": "sse", "epochs": 4, "shared_epochs": 0, "seed": 2, "members": 2}]
    history = History.load(place.runs["sse"] / "history.h5")
    for member in found["members"]:
        assert member["loss"] == pytest.approx(history.test_loss[member["epoch"]], rel=1e-5)
        assert member["error"] == pytest.approx(history.test_error[member["epoch"]], abs=1e-15)
    schedule = {"name": "cosine_cycles", "lr": 0.05, "cycles": 2, "epochs": 4, "steps_per_epoch": STEPS}
    assert found["schedule"] == schedule
    saved = Predictions.load(out / "predictions.h5")
    assert [row["members"] for row in found["by_size"]] == [1, 2]
    assert found["by_size"][0]["error"] == error(saved.probability[0], saved.label)
    assert found["by_size"][1]["error"] == error(average(saved.probability), saved.label)


def test_snapshots_without_cycles_are_those_of_any_run(place, tmp_path):
    found = about(place.ensemble(tmp_path, "nocycle", [["a"]], method="nocycle", snapshots=4))
    assert [member["epoch"] for member in found["members"]] == [1, 2, 3, 4]
    history = History.load(place.runs["a"] / "history.h5")
    assert [m["loss"] for m in found["members"]] == pytest.approx(history.test_loss[1:].tolist(), rel=1e-5)


def test_several_runs_may_share_one_budget(place, tmp_path):
    found = about(place.ensemble(tmp_path, "single", [["a", "b"]], method="single_cycle", budget_epochs=2 * EPOCHS))
    assert found["budgets"] == [{"name": "a + b", "epochs": 8, "shared_epochs": 0, "seed": 0, "members": 2}]
    assert [member["budget"] for member in found["members"]] == [0, 0]
    two = about(place.ensemble(tmp_path, "two", [["a"], ["b"]]))
    assert found["one_budget"]["errors"] == [two["pooled"][1]["error"]]


def test_members_of_cycles(place, tmp_path):
    found = about(place.ensemble(tmp_path, "fge", [["a"], ["b"]], method="fge", budget_epochs=5))
    assert [budget["epochs"] for budget in found["budgets"]] == [5, 5]
    assert [budget["shared_epochs"] for budget in found["budgets"]] == [2, 2]
    names = [(member["budget"], member["name"], member["epoch"]) for member in found["members"]]
    assert names == [(i, f"{n}_fge epoch {e}", e) for i, n in enumerate("ab") for e in (3, 5)]
    for i, name in enumerate("ab"):
        history = History.load(place.cycles[name] / "history.h5")
        losses = [member["loss"] for member in found["members"] if member["budget"] == i]
        assert losses == pytest.approx([history.test_loss[1], history.test_loss[3]], rel=1e-5)
    names = ("lr", "low", "cycle_epochs", "epochs", "steps_per_epoch", "start")
    assert found["schedule"] == {"name": "fge_triangle", **dict(zip(names, (0.02, 0.001, 2, 3, STEPS, 2), strict=True))}
    assert [row["members"] for row in found["pooled"]] == [2, 4]


def test_the_average_of_the_weights_has_statistics_of_its_own(place, tmp_path):
    settings = {"method": "fge", "budget_epochs": 5, "average_weights": True}
    found = about(place.ensemble(tmp_path, "swa", [["a"], ["b"]], **settings))["averaged"]
    assert found["members"] == [2, 2]
    data, inputs = clean_examples(place)
    train = normalize(data.train_images, NORMALIZATIONS["li"])
    for i, name in enumerate("ab"):
        members = [load_checkpoint(place.cycles[name] / f"member_000{epoch}.safetensors") for epoch in (1, 3)]
        mean = {n: (t + members[1].state[n]) / 2 if t.is_floating_point() else t for n, t in members[0].state.items()}
        model = members[0].build()
        fresh = Statistics(model, train, batch_size=16)(mean)
        measured = Evaluator(model, {"test": (inputs, data.test_labels)}, batch_size=8)(fresh)["test"]
        assert found["errors"][i] == pytest.approx(1 - measured.accuracy, abs=1e-15)
        assert found["losses"][i] == pytest.approx(measured.loss, rel=1e-5)


def test_the_average_of_one_member_is_the_member(place, tmp_path):
    plain = about(place.ensemble(tmp_path, "one", [["a"]]))
    vgg = trained(
        tmp_path,
        place.digits,
        "plain",
        family="vgg",
        options={"depth": 16, "batch_norm": False, "variant": "garipov", "base_width": 2},
    )
    found = about(ensembled(tmp_path, "swa", place.digits, vgg, [[("plain", vgg)]], average_weights=True))
    # without batch normalization there is nothing to refresh
    assert found["averaged"]["losses"] == pytest.approx(found["one_budget"]["losses"], rel=1e-5)
    assert found["averaged"]["errors"] == found["one_budget"]["errors"] and plain["averaged"] is None


@pytest.mark.parametrize("method", ["ind", "sse"])
def test_an_ensemble_with_a_run_that_diverged_is_skipped(place, tmp_path, method):
    wild = shutil.copytree(place.runs["sse"], tmp_path / "wild")
    write_json(wild / "run.json", read_json(wild / "run.json") | {"status": "diverged", "note": "epoch 3: too far"})
    budgets = [[("sse", place.runs["sse"])], [("wild", wild)]]
    out = ensembled(tmp_path, "skipped", place.digits, place.runs["sse"], budgets, method=method)
    check_skipped(place, tmp_path, out, "the run wild diverged (epoch 3: too far)")


def check_skipped(place, tmp_path, out, reason):
    found = about(out)
    assert sorted(files(out)) == ["ensemble.json"]
    assert (found["status"], found["reason"]) == ("skipped", reason)
    assert found.keys() == about(place.ensemble(tmp_path, "whole", [["a"]])).keys()
    assert found["one_budget"] == {"errors": [], "losses": [], "calibration": [], "mean": None, "spread": None}
    assert found["members"] == found["pooled"] == found["by_size"] == [] and found["averaged"] is None


def test_an_ensemble_without_the_weights_of_a_snapshot_is_skipped(place, tmp_path):
    poor = shutil.copytree(place.runs["sse"], tmp_path / "poor")
    (poor / "epoch_0002.safetensors").unlink()
    out = ensembled(tmp_path, "skipped", place.digits, poor, [[("poor", poor)]], method="sse")
    check_skipped(place, tmp_path, out, "there are no weights of poor epoch 2")


def test_an_ensemble_of_cycles_that_were_skipped_is_skipped(place, tmp_path):
    wild = cycled(tmp_path, "wild", place.digits, place.runs["a"], high=1e12, low=1e11)
    budgets = [[("a", place.cycles["a"])], [("wild", wild)]]
    settings = {"method": "fge", "budget_epochs": 5, "average_weights": True}
    out = ensembled(tmp_path, "skipped", place.digits, place.runs["a"], budgets, **settings)
    reason = read_json(wild / "fge.json")["reason"]
    check_skipped(place, tmp_path, out, f"the cycles wild have no members: {reason}")


def test_members_of_two_networks_are_refused(place, tmp_path):
    other = trained(tmp_path, place.digits, "wide", options={"depth": 8, "base_width": 3}, epochs=1)
    with pytest.raises(ValueError, match=r"wide has options = .*; the members of an ensemble are of one network"):
        ensembled(tmp_path, "mixed", place.digits, other, [[("a", place.runs["a"])], [("wide", other)]])
    other = trained(tmp_path, place.digits, "paled", normalization="imagenet", epochs=1)
    with pytest.raises(ValueError, match="paled has normalization = 'imagenet', a has 'li'"):
        ensembled(tmp_path, "mixed", place.digits, other, [[("a", place.runs["a"])], [("paled", other)]])


def test_a_stopped_stage_goes_on_after_the_finished_members(place, tmp_path, monkeypatch):
    settings = {"method": "fge", "budget_epochs": 5, "average_weights": True}
    whole = files(place.ensemble(tmp_path / "whole", "both", [["a"], ["b"]], **settings))
    plain, seen = Evaluator.logits, []

    def stop(self, name):
        seen.append(name)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return plain(self, name)

    monkeypatch.setattr(Evaluator, "logits", stop)
    with pytest.raises(KeyboardInterrupt):
        place.ensemble(tmp_path / "stopped", "both", [["a"], ["b"]], **settings)
    assert files(place.ensemble(tmp_path / "stopped", "both", [["a"], ["b"]], **settings)) == whole
    assert len(seen) == 5  # only the fourth member is computed again


def test_a_stopped_stage_keeps_finished_averages(place, tmp_path, monkeypatch):
    settings = {"method": "fge", "budget_epochs": 5, "average_weights": True}
    whole = files(place.ensemble(tmp_path / "whole", "both", [["a"], ["b"]], **settings))
    plain, seen = ensemble.average_weights, []

    def stop(members):
        seen.append(members)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return plain(members)

    monkeypatch.setattr(ensemble, "average_weights", stop)
    with pytest.raises(KeyboardInterrupt):
        place.ensemble(tmp_path / "stopped", "both", [["a"], ["b"]], **settings)
    assert files(place.ensemble(tmp_path / "stopped", "both", [["a"], ["b"]], **settings)) == whole
    assert len(seen) == 3


def test_two_computations_write_the_same_bytes(place, tmp_path):
    one, other = (
        place.ensemble(tmp_path / folder, "same", [["sse"]], run="sse", method="sse") for folder in ("one", "other")
    )
    assert files(one) == files(other)
