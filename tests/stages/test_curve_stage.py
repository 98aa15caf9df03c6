"""Stage `curve` between two tiny networks."""

import signal

import numpy as np
import pytest
import torch
from stage_cases import TRAIN, diverged, job, published_data, trained

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.statistics import Statistics
from lossatlas.files import read_json, write_json
from lossatlas.landscape.curves import Curve
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.results import VALUES, CurveLosses, History
from lossatlas.settings.ensembles import CurveSettings
from lossatlas.stages import curve
from lossatlas.stages.data import load_checked
from lossatlas.stages.landscape import load_subject
from training import killed

SETTINGS = {
    "start": "resnet",
    "end": "other",
    "kind": "bezier",
    "bends": 1,
    "free_ends": False,
    "seed": 2,
    "train": {**TRAIN, "epochs": 2, "weight_decay": 0.01},
    "points": 3,
    "statistics": ["refreshed"],
    "refresh_examples": 40,
    "refresh_batch_size": 16,
    "train_examples": 24,
    "test_examples": 8,
    "batch_size": 16,
}
SEGMENT = {"kind": "segment", "bends": 0, "train": None, "statistics": ["frozen", "interpolated", "refreshed"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The outputs that the stage reads: data, a run, and another run of the same network."""
    root = tmp_path_factory.mktemp("place")
    digits = published_data(root)
    start = trained(root, digits, "resnet", depth=8, base_width=2)
    weights = load_checkpoint(start / "final.safetensors")
    draws = torch.Generator().manual_seed(1)
    moved = {
        name: t + 0.3 * torch.rand(t.shape, generator=draws) if t.is_floating_point() else t
        for name, t in weights.state.items()
    }
    save_checkpoint(root / "other" / "final.safetensors", moved, epoch=1, **weights.model)
    write_json(root / "other" / "run.json", read_json(start / "run.json") | {"run": "other"})
    return root, {"data": digits, "run": start, "end": root / "other"}


def prepared(root, place, **options):
    settings = CurveSettings(**{**SETTINGS, **options}).model_dump()
    made = job(root, "joined", settings, place[1])
    # the cache of the data set lies with the data
    return curve.Job(**{**vars(made), "places": {**made.places, "cache": str(place[0] / "cache")}})


def computed(root, place, **options):
    made = prepared(root, place, **options)
    curve.compute(made)
    return made.out


def files(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def state(path):
    return load_checkpoint(path).state


def check_refreshed(place, path):
    """The statistics of a checkpoint are those of its weights, on the settings' examples."""
    model, images = load_checkpoint(path).build(), load_checked(prepared(path.parent, place)).train_images[:40]
    refreshed = Statistics(model, normalize(images, NORMALIZATIONS["li"]), batch_size=16)(state(path))
    start = state(place[1]["run"] / "final.safetensors")
    assert all(torch.equal(refreshed[name], tensor) for name, tensor in state(path).items())
    assert not torch.equal(refreshed["bn1.running_mean"], start["bn1.running_mean"])


@pytest.mark.parametrize(
    ("kind", "bends", "free_ends"), [("bezier", 1, False), ("chain", 2, False), ("chain", 1, True)]
)
def test_a_trained_curve_is_written(place, tmp_path, kind, bends, free_ends):
    out = computed(tmp_path, place, kind=kind, bends=bends, free_ends=free_ends)
    nodes = [out / f"node_{i}.safetensors" for i in range(bends + 2)]
    names = {"curve.h5", "curve.json", "history.h5", *(node.name for node in nodes)}
    assert set(files(out)) == names
    about, losses, history = (
        read_json(out / "curve.json"),
        CurveLosses.load(out / "curve.h5"),
        History.load(out / "history.h5"),
    )
    assert (about["status"], about["reason"]) == ("finished", "")
    assert (about["run"], about["start"], about["end"]) == ("resnet", "resnet", "other")
    assert (about["kind"], about["bends"], about["free_ends"], about["epochs"]) == (kind, bends, free_ends, 2)
    assert (about["samples_train"], about["samples_test"], about["data"], about["num_classes"]) == (24, 8, "digits", 10)
    assert about["refresh"] == {"examples": 40, "batch_size": 16, "layers": 9}
    assert losses.rows == ("refreshed",) and losses.computed.all() and losses.train_loss.shape == (1, 3)
    assert len(history.epoch) == 3 and history.status == "finished"
    # the ends are the runs' weights, unless they are free, and the bends have moved
    for node, run in ((nodes[0], "run"), (nodes[-1], "end")):
        weights, theirs = load_checkpoint(node), load_checkpoint(place[1][run] / "final.safetensors")
        assert (weights.weights_hash == theirs.weights_hash) is not free_ends
        assert weights.epoch == (2 if free_ends else 1)
    assert load_checkpoint(nodes[1]).epoch == 2
    # what a training moved has statistics of its own
    for i in range(0 if free_ends else 1, bends + (2 if free_ends else 1)):
        check_refreshed(place, nodes[i])
    row = about["rows"]["refreshed"]
    loss = losses.train_loss[0]
    assert row["barrier_train_loss"] == loss.max() - max(loss[0], loss[-1])
    assert row["not_finite"] == 0
    assert (row["train_loss_ends"], row["train_loss_max"]) == ([loss[0], loss[-1]], loss.max())
    assert (row["test_error_min"], row["test_error_max"]) == (
        (1 - losses.test_accuracy).min(),
        (1 - losses.test_accuracy).max(),
    )
    assert about["length"] == losses.arc[-1] >= about["straight_distance"] == losses.from_end[0] > 0
    # a run's checkpoint and the curve's ones lie in one space
    model = load_checkpoint(nodes[0]).build()
    parameters = [{n: state(node)[n] for n, _ in model.named_parameters()} for node in nodes]
    again = Curve(kind, tuple(parameters)).lengths(losses.t)
    np.testing.assert_array_equal(again.arc, losses.arc)


def test_a_segment_shows_every_treatment_of_the_statistics(place, tmp_path):
    out = computed(tmp_path, place, **SEGMENT)
    assert set(files(out)) == {"curve.h5", "curve.json", "node_0.safetensors", "node_1.safetensors"}
    about, losses = read_json(out / "curve.json"), CurveLosses.load(out / "curve.h5")
    assert about["epochs"] == 0 and list(about["rows"]) == SEGMENT["statistics"]
    assert about["length"] == pytest.approx(about["straight_distance"], rel=1e-12)
    for i, role in enumerate(("run", "end")):
        node, run = (load_checkpoint(p) for p in (out / f"node_{i}.safetensors", place[1][role] / "final.safetensors"))
        assert node.weights_hash == run.weights_hash
    # interpolated, the ends are the two runs as they are
    prepared_job = prepared(tmp_path / "again", place, **SEGMENT)
    subject = load_subject(prepared_job)
    evaluator = Evaluator(subject.model, {"train": subject.train, "test": subject.test}, batch_size=16)
    for column, role in ((0, "run"), (-1, "end")):
        found = evaluator(state(place[1][role] / "final.safetensors"))
        assert losses.train_loss[1, column] == found["train"].loss
        assert losses.test_accuracy[1, column] == found["test"].accuracy
    assert losses.train_loss[0, 0] == losses.train_loss[1, 0]
    assert len({*losses.train_loss[:, 1]}) == 3


def test_the_seed_decides(place, tmp_path):
    one, same, other = (computed(tmp_path / str(i), place, seed=seed) for i, seed in enumerate((2, 2, 3)))
    assert files(one) == files(same)
    assert files(one)["node_1.safetensors"] != files(other)["node_1.safetensors"]
    assert files(one)["node_0.safetensors"] == files(other)["node_0.safetensors"]


def test_weights_kept_on_the_way_are_checkpoints_too(place, tmp_path):
    out = computed(
        tmp_path, place, kind="chain", bends=2, train={**SETTINGS["train"], "epochs": 3, "checkpoint_every": 1}
    )
    kept = sorted(path.name for path in out.glob("epoch_*"))
    assert kept == [f"epoch_000{epoch}_node_{i}.safetensors" for epoch in (1, 2) for i in (1, 2)]
    hashes = {load_checkpoint(out / name).weights_hash for name in kept}
    assert len(hashes) == 4 and load_checkpoint(out / kept[-1]).epoch == 2
    check_refreshed(place, out / kept[-1])


KEPT = {**SETTINGS["train"], "epochs": 3, "checkpoint_every": 1, "micro_batch": 5}


def dying(root, place, death):
    """Compute the stage in a process that dies at a chosen moment."""
    torch.set_num_threads(1)
    killed.arm(*death)
    computed(root, place, train=KEPT)


def test_killed_in_training_it_ends_with_the_same_bytes(place, tmp_path):
    steps = 4  # per epoch: 64 images in batches of 16
    for death in (("step", steps + 2), ("writing state", 1)):
        process = killed._FRESH.Process(target=dying, args=(tmp_path / "dying", place, death))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    again = files(computed(tmp_path / "dying", place, train=KEPT))
    assert {"epoch_0001_node_1.safetensors", "epoch_0002_node_1.safetensors"} <= set(again)
    assert again == files(computed(tmp_path / "whole", place, train=KEPT))


def check_skipped(out, reason, names):
    about, losses = read_json(out / "curve.json"), CurveLosses.load(out / "curve.h5")
    assert set(files(out)) == {"curve.h5", "curve.json", *names}
    assert about["status"] == "skipped" and about["reason"] == losses.note
    assert reason in about["reason"]
    assert not losses.computed.any() and all(np.isnan(getattr(losses, name)).all() for name in (*VALUES, "arc"))
    assert about["rows"]["refreshed"] == {
        **dict.fromkeys(("barrier_train_loss", "train_loss_max", "test_loss_max", "test_error_min", "test_error_max")),
        **dict.fromkeys(("train_loss_ends", "test_error_ends"), [None, None]),
        "not_finite": 0,
    }
    assert (about["length"], about["straight_distance"], about["epochs"]) == (None, None, 2)


@pytest.mark.parametrize("role", ["run", "end"])
def test_an_end_that_diverged_is_skipped(place, tmp_path, role):
    wild = diverged(tmp_path, place[1][role])
    out = computed(tmp_path, (place[0], {**place[1], role: wild}))
    name = {"run": "resnet", "end": "other"}[role]
    check_skipped(out, f"{name} diverged (epoch 1: weights not finite)", set())


def test_a_training_that_diverges_keeps_its_history(place, tmp_path):
    out = computed(tmp_path, place, train={**SETTINGS["train"], "lr": 1e12})
    check_skipped(out, "the curve's training diverged (epoch 1: ", {"history.h5"})
    assert History.load(out / "history.h5").status == "diverged"


def test_a_bend_that_the_history_does_not_see_may_diverge(place, tmp_path, monkeypatch):
    """At t = 1/2 a chain of three bends is its second one."""
    plain = curve.train

    def train(learner, *args, **options):
        found = plain(learner, *args, **options)
        next(learner.learned["node_3"].parameters()).data.fill_(np.inf)
        return found

    monkeypatch.setattr(curve, "train", train)
    out = computed(tmp_path, place, kind="chain", bends=3)
    check_skipped(out, "diverged (the weights of node 3 are not finite)", {"history.h5"})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_points_that_overflow_are_counted_and_leave_the_rest(place, tmp_path, monkeypatch, bad):
    plain = curve.curve_losses

    def curve_losses(*args, **options):
        found = plain(*args, **options)
        found.train_loss[0, 1] = found.test_loss[0, 1] = bad
        return found

    monkeypatch.setattr(curve, "curve_losses", curve_losses)
    out = computed(tmp_path, place, points=5)
    row, losses = read_json(out / "curve.json")["rows"]["refreshed"], CurveLosses.load(out / "curve.h5")
    finite = np.delete(losses.train_loss[0], 1)
    assert row["not_finite"] == 1 and row["train_loss_max"] == finite.max()
    assert row["barrier_train_loss"] == finite.max() - max(finite[0], finite[-1])
    assert row["test_loss_max"] == np.delete(losses.test_loss[0], 1).max()


def test_without_a_finite_end_there_is_no_height_of_a_barrier(place, tmp_path, monkeypatch):
    plain = curve.curve_losses

    def curve_losses(*args, **options):
        found = plain(*args, **options)
        found.train_loss[0, -1] = np.nan
        return found

    monkeypatch.setattr(curve, "curve_losses", curve_losses)
    row = read_json(computed(tmp_path, place) / "curve.json")["rows"]["refreshed"]
    assert (row["not_finite"], row["barrier_train_loss"], row["train_loss_ends"][1]) == (1, None, None)
    assert row["train_loss_max"] > 0


def test_more_images_than_there_are_is_refused(place, tmp_path):
    with pytest.raises(ValueError, match="^refresh_examples = 65 of joined: the data set has 64; use null for all"):
        computed(tmp_path, place, refresh_examples=65)
