"""Stage `plane3` through trainings of a few steps and a curve made by hand."""

import json
import shutil

import numpy as np
import pytest
import torch
from stage_cases import SOURCE, TRAIN, job, published_data

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.statistics import Statistics
from lossatlas.files import read_json, write_json
from lossatlas.landscape import points
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.plane_basis import Basis
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.results import VALUES, Plane
from lossatlas.settings import RunSettings
from lossatlas.settings.ensembles import Plane3Settings
from lossatlas.stages import plane3, train
from lossatlas.stages.data import load_checked

MODEL = {"title": "Small", "family": "resnet", "options": {"depth": 8, "base_width": 2}}
OPTIMA = {"through": [{"run": "small0"}, {"run": "small1"}, {"run": "small2"}]}
ON_CURVE = {
    "through": [{"run": "small0"}, {"run": "small1"}, {"curve": "bent", "bend": 2}],
    "path": {"curve": "bent"},
}
ON_RUN = {
    "through": [{"run": "small0", "epoch": 1}, {"run": "small0", "epoch": 2}, {"run": "small0", "epoch": 3}],
    "path": {"run": "small0"},
}
SETTINGS = {
    "path": None,
    "margin": 0.2,
    "points": 3,
    "statistics": "refreshed",
    "refresh_examples": 24,
    "refresh_batch_size": 8,
    "train_examples": 20,
    "test_examples": None,
    "batch_size": 16,
}


def made_curve(root, ends, kind="bezier"):
    """A curve with two bends somewhere beside the ends."""
    nodes = [load_checkpoint(end / "final.safetensors") for end in ends]
    draws = torch.Generator().manual_seed(0)
    first, last = (node.state for node in nodes)
    for i in range(4):
        beside = {
            name: first[name].lerp(last[name], i / 3) + 0.1 * torch.randn(first[name].shape, generator=draws)
            for name in first
            if name.endswith(("weight", "bias"))
        }
        state = {0: first, 3: last}.get(i, {**first, **beside})
        save_checkpoint(root / f"node_{i}.safetensors", state, epoch=2, **nodes[0].model)
    write_json(root / "curve.json", {"status": "finished", "reason": "", "kind": kind, "bends": 2})
    return root


class Place:
    """A data set, three trainings, a curve, and planes beside them."""

    def __init__(self, root):
        self.root, self.digits = root, published_data(root)
        self.folders = {}
        for seed in range(3):
            settings = TRAIN | {"epochs": 3, "checkpoints": [0, 1, 2]}
            run = RunSettings.model_validate({"data": "digits", "seed": seed, "model": MODEL, "train": settings})
            made = job(root, f"small{seed}", {"run": run.model_dump()}, {"data": self.digits})
            train.compute(made)
            self.folders[f"small{seed}"] = made.out
        self.folders["bent"] = made_curve(root / "bent", [self.folders["small0"], self.folders["small1"]])

    def job(self, root, name="plane", **changes):
        settings = Plane3Settings(**{**SETTINGS, **changes}).model_dump()
        inputs = {f"point{i}": self.folders[p["run"] or p["curve"]] for i, p in enumerate(settings["through"])}
        if settings["path"]:
            inputs["path"] = self.folders[settings["path"]["run"] or settings["path"]["curve"]]
        return job(root, name, settings, {"data": self.digits, "run": self.folders["small0"], **inputs})

    def compute(self, root, name="plane", **changes):
        made = self.job(root, name, **changes)
        plane3.compute(made)
        return made.out

    def changed(self, root, name):
        """The same place with a copy of one folder, which may be changed."""
        other = Place.__new__(Place)
        other.root, other.digits = self.root, self.digits
        other.folders = {**self.folders, name: root / name}
        shutil.copytree(self.folders[name], root / name)
        return other

    def states(self, *files):
        return [load_checkpoint(self.folders[folder] / f"{file}.safetensors").state for folder, file in files]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"))


def all_bytes(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_plane_through_three_minimizers_is_written(place, tmp_path):
    out = place.compute(tmp_path, **OPTIMA)
    names = ["direction_x.safetensors", "direction_y.safetensors", "plane3.h5", "plane3.json"]
    assert sorted(all_bytes(out)) == names
    about, plane = read_json(out / "plane3.json"), Plane.load(out / "plane3.h5")
    run = read_json(place.folders["small0"] / "run.json")
    assert (about["status"], about["reason"], about["path"], about["run"]) == ("finished", "", None, "small0")
    assert {key: about[key] for key in ("family", "options", "data", "num_classes")} == {
        key: run[key] for key in ("family", "options", "data", "num_classes")
    }
    assert about["run_title"] == "Small" and about["names"] == ["small0", "small1", "small2"]
    assert (about["samples_train"], about["samples_test"], about["statistics"]) == (20, 16, "refreshed")
    assert about["refresh"] == {"examples": 24, "batch_size": 8, "layers": 9} == plane.provenance["refresh"]
    assert plane.computed.all() and plane.train_loss.shape == (3, 3) and np.isfinite(plane.test_loss).all()
    states = place.states(*((f"small{i}", "final") for i in range(3)))
    model = load_checkpoint(place.folders["small0"] / "final.safetensors").build()
    coordinates = np.array([[point["x"], point["y"]] for point in about["points"]])
    np.testing.assert_array_equal(coordinates, Basis.of(model, states).coordinates)
    for axis, column in ((plane.x, coordinates[:, 0]), (plane.y, coordinates[:, 1])):
        pad = 0.2 * np.ptp(column)
        np.testing.assert_allclose(axis, np.linspace(column.min() - pad, column.max() + pad, 3))
    for name in "xy":
        Direction.load(out / f"direction_{name}.safetensors").require(states[0])


@pytest.mark.parametrize("statistics", ["refreshed", "frozen"])
def test_losses_at_the_points_are_those_of_their_weights_on_the_settings_examples(place, tmp_path, statistics):
    about = read_json(place.compute(tmp_path, statistics=statistics, **OPTIMA) / "plane3.json")
    states = place.states(*((f"small{i}", "final") for i in range(3)))
    model = load_checkpoint(place.folders["small0"] / "final.safetensors").build()
    data = load_checked(place.job(tmp_path, **OPTIMA))
    images, tests = (normalize(part, NORMALIZATIONS["li"]) for part in (data.train_images, data.test_images))
    splits = {"train": (images[:20], data.train_labels[:20]), "test": (tests, data.test_labels)}
    evaluator, refreshed = Evaluator(model, splits), Statistics(model, images[:24], batch_size=8)
    for point, state in zip(about["points"], states, strict=True):
        weights = {n: t for n, t in state.items() if n.endswith(("weight", "bias"))}
        found = evaluator(refreshed(state) if statistics == "refreshed" else {**states[0], **weights})
        for name in VALUES:
            split, _, kind = name.partition("_")
            # sums in another order
            assert point[name] == pytest.approx(getattr(found[split], kind), rel=1e-5), name
    if statistics == "frozen":
        assert about["refresh"] == {"examples": 0, "batch_size": None, "layers": 0}
        center = read_json(place.folders["small0"] / "run.json")["final"]["test_loss"]
        assert about["points"][0]["test_loss"] == pytest.approx(center, rel=1e-5)


def test_a_curve_is_drawn_on_the_plane_of_its_bend(place, tmp_path):
    out = place.compute(tmp_path, **ON_CURVE)
    about, plane = read_json(out / "plane3.json"), Plane.load(out / "plane3.h5")
    assert about["names"] == ["small0", "small1", "bend 2 of bent"]
    path = about["path"]
    assert (path["name"], path["kind"]) == ("bent", "curve")
    assert path["labels"] == np.linspace(0, 1, 61).tolist()
    nodes = place.states(*(("bent", f"node_{i}") for i in range(4)))
    model = load_checkpoint(place.folders["bent"] / "node_0.safetensors").build()
    basis = Basis.of(model, [nodes[0], nodes[3], nodes[2]])
    for i in (0, 7, 30, 60):
        t = i / 60
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        built = {
            n: sum(w * node[n].double() for w, node in zip(weights, nodes, strict=True))
            for n in nodes[0]
            if n in basis.names
        }
        (expected,), (distance,) = basis.follow([built])
        np.testing.assert_allclose([path["x"][i], path["y"][i]], expected, rtol=1e-9, atol=1e-9)
        assert path["off_plane"][i] == pytest.approx(distance, rel=1e-7, abs=1e-9)
    # ends are points of the plane
    for i, point in ((0, 0), (60, 1)):
        at = [about["points"][point][axis] for axis in "xy"]
        np.testing.assert_allclose([path["x"][i], path["y"][i], path["off_plane"][i]], [*at, 0], atol=1e-12)
    assert max(path["off_plane"]) > 0.01
    for axis, column in ((plane.x, path["x"]), (plane.y, path["y"])):
        assert axis[0] < min(column) and max(column) < axis[-1]


def test_a_training_is_drawn_on_the_plane_of_its_checkpoints(place, tmp_path):
    about = read_json(place.compute(tmp_path, **ON_RUN) / "plane3.json")
    # the last epoch's weights lie in `final.safetensors`
    assert about["names"] == ["small0 epoch 1", "small0 epoch 2", "small0 epoch 3"]
    path = about["path"]
    # what lies before the first of them is left out
    assert (path["name"], path["kind"], path["labels"]) == ("small0", "run", [1, 2, 3])
    points = np.array([[point["x"], point["y"]] for point in about["points"]])
    np.testing.assert_allclose(np.array([path["x"], path["y"]]).T, points, rtol=1e-10, atol=1e-10)
    assert max(path["off_plane"]) < 1e-10
    first, second = place.states(("small0", "epoch_0001"), ("small0", "epoch_0002"))
    steps = [second[n].double() - first[n] for n in first if n.endswith(("weight", "bias"))]
    assert points[1, 0] == pytest.approx(float(sum(step.square().sum() for step in steps)) ** 0.5, rel=1e-12)


@pytest.mark.parametrize(
    "through",
    [OPTIMA["through"], [{"run": "small0", "epoch": 2}, {"run": "small0", "epoch": 3}, {"run": "small1", "epoch": 1}]],
)
def test_a_training_is_drawn_whole_on_the_plane_of_several_runs(place, tmp_path, through):
    path = read_json(place.compute(tmp_path, through=through, path={"run": "small0"}) / "plane3.json")["path"]
    assert path["labels"] == [0, 1, 2, 3] and len(path["x"]) == len(path["off_plane"]) == 4


def test_a_point_without_epoch_is_the_last_one(place, tmp_path):
    through = [{"run": "small0"}, {"run": "small0", "epoch": 2}, {"run": "small0", "epoch": 1}]
    path = read_json(place.compute(tmp_path, through=through, path={"run": "small0"}) / "plane3.json")["path"]
    assert path["labels"] == [1, 2, 3]


def test_killed_in_the_middle_and_started_again(place, tmp_path, monkeypatch):
    whole = all_bytes(place.compute(tmp_path / "one", **ON_CURVE))
    evaluate, seen = Evaluator.__call__, []

    def counted(self, state):
        seen.append(1)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return evaluate(self, state)

    monkeypatch.setattr(Evaluator, "__call__", counted)
    monkeypatch.setattr(points, "FLUSH_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        place.compute(tmp_path / "two", **ON_CURVE)
    assert not (tmp_path / "two" / "plane" / "out" / "plane3.json").exists()
    assert all_bytes(place.compute(tmp_path / "two", **ON_CURVE)) == whole
    # the grid but for its first four points, and the three points
    assert len(seen) == 5 + 9 - 4 + 3


def check_skipped(out, reason):
    assert sorted(all_bytes(out)) == ["plane3.h5", "plane3.json"]
    about, plane = read_json(out / "plane3.json"), Plane.load(out / "plane3.h5")
    assert (about["status"], about["reason"], about["path"]) == ("skipped", reason, None)
    assert about["points"] == [dict.fromkeys(("x", "y", *VALUES))] * 3
    assert (about["run"], about["samples_train"], about["samples_test"]) == ("small0", 20, 16)
    assert plane.note == reason and not plane.computed.any()
    assert plane.train_loss.shape == (3, 3) and plane.x.shape == plane.y.shape == (3,)
    assert all(np.isnan(getattr(plane, name)).all() for name in ("x", "y", *VALUES))


def check_without_path(place, out, tmp_path, reason):
    """The plane is the one that nobody wanted a path on."""
    about, plane = read_json(out / "plane3.json"), Plane.load(out / "plane3.h5")
    assert (about["status"], about["path"], about["reason"]) == ("finished", None, f"no path: {reason}")
    plain = place.compute(tmp_path / "plain", **OPTIMA)
    assert (plain / "plane3.h5").read_bytes() == (out / "plane3.h5").read_bytes() and plane.computed.all()
    assert read_json(plain / "plane3.json") == {**about, "reason": ""}


def wild(place, root, name):
    """The same place, had a run diverged."""
    other = place.changed(root, name)
    file = other.folders[name] / "run.json"
    write_json(file, read_json(file) | {"status": "diverged", "note": "epoch 1: weights not finite"})
    return other


def test_a_run_that_diverged_is_skipped(place, tmp_path):
    out = wild(place, tmp_path, "small2").compute(tmp_path, **OPTIMA)
    check_skipped(out, "the run small2 diverged (epoch 1: weights not finite)")


def test_a_curve_that_was_skipped_is_skipped(place, tmp_path):
    other = place.changed(tmp_path, "bent")
    write_json(other.folders["bent"] / "curve.json", {"status": "skipped", "reason": "the run small1 diverged"})
    check_skipped(other.compute(tmp_path, **ON_CURVE), "the curve bent was skipped (the run small1 diverged)")
    out = other.compute(tmp_path, "optima", **OPTIMA, path={"curve": "bent"})
    check_without_path(place, out, tmp_path, "the curve bent was skipped (the run small1 diverged)")


def test_a_path_that_diverged_leaves_the_plane(place, tmp_path):
    other = place.changed(tmp_path, "small0")
    other.folders["wild"] = wild(place, tmp_path / "wild", "small1").folders["small1"]
    out = other.compute(tmp_path, **OPTIMA, path={"run": "wild"})
    check_without_path(place, out, tmp_path, "the run wild diverged (epoch 1: weights not finite)")


def test_a_path_that_lacks_a_node_leaves_the_plane(place, tmp_path):
    other = place.changed(tmp_path, "bent")
    (other.folders["bent"] / "node_2.safetensors").unlink()
    out = other.compute(tmp_path, **OPTIMA, path={"curve": "bent"})
    check_without_path(place, out, tmp_path, "the curve bent has 3 of 4 nodes")


def test_points_on_one_line_are_skipped_by_name(place, tmp_path):
    study = {"through": [{"run": "small0"}, {"run": "small1"}, {"run": "small0", "epoch": 3}]}
    reason = "small0 and small0 epoch 3 coincide, so there is no plane; take three other points"
    check_skipped(place.compute(tmp_path, **study), reason)
    other = place.changed(tmp_path / "line", "bent")
    first, last = place.states(("bent", "node_0"), ("bent", "node_3"))
    middle = {n: t.lerp(last[n], 0.5) if t.is_floating_point() else t for n, t in first.items()}
    node = other.folders["bent"] / "node_2.safetensors"
    save_checkpoint(node, middle, epoch=2, **load_checkpoint(node).model)
    reason = "small0, small1 and bend 2 of bent lie on one line, so there is no plane; take three other points"
    check_skipped(other.compute(tmp_path / "line", **ON_CURVE), reason)


def test_weights_that_are_not_there_are_skipped_by_name(place, tmp_path):
    other = place.changed(tmp_path, "small0")
    (other.folders["small0"] / "epoch_0001.safetensors").unlink()
    reason = "small0 epoch 1 has no weights (final.safetensors is of epoch 3)"
    check_skipped(other.compute(tmp_path, "epoch", **ON_RUN), reason)
    other = place.changed(tmp_path, "bent")
    (other.folders["bent"] / "node_2.safetensors").unlink()
    reason = "bend 2 of bent has no weights (node_2.safetensors is not there)"
    check_skipped(other.compute(tmp_path, "bend", **ON_CURVE), reason)


@pytest.mark.parametrize("key", ["refresh_examples", "train_examples", "test_examples"])
def test_more_examples_than_there_are_are_refused(place, tmp_path, key):
    there = SOURCE["test" if key == "test_examples" else "train"]
    with pytest.raises(ValueError, match=f"{key} = 65 of plane: the data set has {there}; use null for all"):
        place.compute(tmp_path, **OPTIMA, **{key: 65})


def test_null_takes_all_examples(place, tmp_path):
    out = place.compute(tmp_path, **OPTIMA, train_examples=None, refresh_examples=None)
    about = json.loads((out / "plane3.json").read_text())
    assert (about["samples_train"], about["refresh"]["examples"]) == (64, 64)


def test_a_chain_is_drawn_through_its_bends(place, tmp_path):
    other = place.changed(tmp_path, "bent")
    file = other.folders["bent"] / "curve.json"
    write_json(file, read_json(file) | {"kind": "chain"})
    about = read_json(other.compute(tmp_path, **ON_CURVE) / "plane3.json")
    # the second of two bends is reached at t = 2/3
    at = [about["points"][2][axis] for axis in "xy"]
    np.testing.assert_allclose([about["path"]["x"][40], about["path"]["y"][40]], at, rtol=1e-9)
