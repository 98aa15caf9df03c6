"""The stage `trajectory` after a training of a few steps."""

import json
import shutil

import numpy as np
import pytest
import torch

from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.projection import project
from lossatlas.landscape.trajectories import explained_variance
from lossatlas.landscape.weightpath import WeightPath
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.results import History, Plane, Trajectory
from lossatlas.settings import DataSettings, RunSettings
from lossatlas.settings.studies import TrajectorySettings
from lossatlas.stages import data, train, trajectory
from lossatlas.stages.job import Job

DATA = {"kind": "digits", "train": 48, "test": 16}
TRAIN = {
    "epochs": 4,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 5e-4,
    "schedule": "step_drops",
    "schedule_options": {"fractions": [0.5, 0.75]},
    "augment": None,
    "normalization": "li",
    "initialization": "li",
    "checkpoint_every": 1,
}
MODEL = {"title": "small", "family": "resnet", "options": {"depth": 8, "base_width": 2}}
SETTINGS = {
    "run": "small",
    "seed": 3,
    "axes": "pca",
    "centred": True,
    "span": "weights",
    "exclude_1d": False,
    "margin": 0.25,
    "points": 3,
    "train_examples": 24,
    "test_examples": 8,
    "batch_size": 16,
}


class Place:
    """A data set and a training, and the stage's folders beside them."""

    def __init__(self, root, **options):
        self.root = root
        source = DataSettings(**DATA).model_dump()
        self.places = {"repository": str(root), "cache": str(root / "cache"), "data": source}
        self.data, self.run = root / "data", root / "train"
        data.compute(self.job({"data": source}, self.data, name="digits"))
        run = RunSettings(data="digits", seed=0, model=MODEL, train=TRAIN | options).model_dump()
        train.compute(self.job({"run": run, "device": "cpu"}, self.run, name="small"))

    def job(self, settings, out, *, name, work="work"):
        inputs = {"data": self.root / "data", "run": self.root / "train"}
        (self.root / work).mkdir(exist_ok=True)
        out.mkdir(exist_ok=True)
        return Job(name, settings, inputs, self.places, out, self.root / work)

    def follow(self, out, work, **options):
        """Compute the stage and return what it wrote."""
        settings = TrajectorySettings(**{**SETTINGS, **options}).model_dump() | {"device": "cpu"}
        trajectory.compute(self.job(settings, self.root / out, name="small", work=work))
        return {file.name: file.read_bytes() for file in sorted((self.root / out).iterdir())}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"span": "states", "centred": False},
        {"axes": "random", "exclude_1d": True, "test_examples": None},
        {"axes": "random_and_start"},
    ],
)
def test_a_trajectory_is_written(trained, tmp_path, options):
    settings = {**SETTINGS, **options}
    files = trained.follow(tmp_path / "out", tmp_path / "work", **options)
    names = ["direction_x.safetensors", "direction_y.safetensors", "plane.h5", "trajectory.h5", "trajectory.json"]
    assert sorted(files) == names
    path, plane = (kind.load(tmp_path / "out" / f"{kind.KIND}.h5") for kind in (Trajectory, Plane))
    assert path.epoch.tolist() == [0, 1, 2, 3, 4] and path.axes == settings["axes"]
    # drops after 1/2 and 3/4 of the epochs
    assert path.drops == ("2", "3")
    assert plane.computed.all() and plane.train_loss.shape == (3, 3)
    checkpoints = [trained.run / f"epoch_{i:04d}.safetensors" for i in range(4)] + [trained.run / "final.safetensors"]
    weights = WeightPath.of(checkpoints, span=settings["span"], exclude_1d=settings["exclude_1d"])
    directions = [Direction.load(tmp_path / "out" / f"direction_{name}.safetensors") for name in "xy"]
    found = project(weights, directions, centred=settings["centred"])
    np.testing.assert_array_equal([path.path_x, path.path_y], found.coordinates.T)
    np.testing.assert_array_equal(path.spectrum, explained_variance(weights, centred=settings["centred"]))
    # the directions are rounded to float32, the spectrum is not
    np.testing.assert_allclose(path.captured, found.captured, rtol=1e-6)
    for axis, column in ((plane.x, path.path_x), (plane.y, path.path_y)):
        np.testing.assert_allclose([axis[0], axis[-1]], [column.min() - pad(column), column.max() + pad(column)])
    about = json.loads(files["trajectory.json"])
    assert (about["run"], about["status"], about["reason"], about["axes"]) == ("small", "finished", "", path.axes)
    assert about["captured"] == path.captured.tolist() and about["spectrum"] == path.spectrum.tolist()
    assert about["variation_in_two"] == pytest.approx(path.captured.sum())
    assert (about["checkpoints"], about["drops"], about["samples_train"]) == (5, [2, 3], 24)
    assert about["samples_test"] == (settings["test_examples"] or 16)


def pad(column):
    return SETTINGS["margin"] * np.ptp(column)


def test_killed_in_the_middle_and_started_again(trained, tmp_path, monkeypatch):
    whole = trained.follow(tmp_path / "one", tmp_path / "fresh")
    evaluate, seen = Evaluator.__call__, []

    def counted(self, state):
        seen.append(1)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return evaluate(self, state)

    monkeypatch.setattr(Evaluator, "__call__", counted)
    monkeypatch.setattr(points, "FLUSH_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        trained.follow(tmp_path / "two", tmp_path / "work")
    assert not (tmp_path / "two" / "trajectory.json").exists()
    assert trained.follow(tmp_path / "two", tmp_path / "work") == whole
    assert len(seen) == 5 + 9 - 4


def copied(place, root):
    """The training once more, in a place of its own that may be changed."""
    other = Place.__new__(Place)
    shutil.copytree(place.root / "data", root / "data")
    shutil.copytree(place.run, root / "train")
    other.root, other.places, other.run = root, place.places, root / "train"
    return other


def test_too_few_checkpoints_say_what_to_do(trained, tmp_path):
    place = copied(trained, tmp_path)
    for epoch in (1, 2, 3):
        (place.run / f"epoch_{epoch:04d}.safetensors").unlink()
    text = r"run small kept 2 checkpoint\(s\), a trajectory needs at least 3; set runs.small.train.checkpoint_every"
    with pytest.raises(ValueError, match=text):
        place.follow("out", "work")


def check_skipped(place, epochs, reason):
    path, plane = (kind.load(place.root / "out" / f"{kind.KIND}.h5") for kind in (Trajectory, Plane))
    assert path.epoch.tolist() == epochs and path.note == plane.note == reason
    assert all(
        np.isnan(getattr(path, name)).all() for name in ("path_x", "path_y", "distance", "alignment", "captured")
    )
    assert path.spectrum.shape == (len(epochs) - 1,) and np.isnan(path.spectrum).all()
    assert not plane.computed.any() and np.isnan(plane.train_loss).all() and plane.train_loss.shape == (3, 3)
    about = json.loads((place.root / "out" / "trajectory.json").read_text())
    assert (about["status"], about["reason"], about["center_train_loss"]) == ("skipped", reason, None)
    assert (about["captured"], about["variation_in_two"]) == ([None, None], None)


def test_a_run_that_diverged_is_skipped(tmp_path):
    place = Place(tmp_path, lr=1e12)
    history = History.load(place.run / "history.h5")
    assert history.status == "diverged"
    files = place.follow("out", "work")
    assert sorted(files) == ["plane.h5", "trajectory.h5", "trajectory.json"]
    kept = [int(file.stem[6:]) for file in sorted(place.run.glob("epoch_*"))]
    check_skipped(place, [*kept, int(history.epoch[-1])], f"the run diverged ({history.note})")


def test_a_straight_path_is_skipped_with_its_reason(trained, tmp_path):
    place = copied(trained, tmp_path)
    final = load_checkpoint(place.run / "final.safetensors")
    for epoch in range(4):
        name = f"epoch_{epoch:04d}.safetensors"
        moved = {n: t + (4 - epoch) * torch.ones_like(t) if n == "linear.bias" else t for n, t in final.state.items()}
        sizes = {key: final.model[key] for key in ("family", "options", "num_classes", "input_size")}
        save_checkpoint(place.run / name, moved, epoch=epoch, **sizes)
    place.follow("out", "work")
    reason = json.loads((tmp_path / "out" / "trajectory.json").read_text())["reason"]
    assert reason.startswith("the path of 5 checkpoints has 1 principal component(s), fewer than count = 2")
    check_skipped(place, [0, 1, 2, 3, 4], reason)
