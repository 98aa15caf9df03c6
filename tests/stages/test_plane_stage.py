"""Stage `plane` about weights after an earlier epoch."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from stage_cases import diverged, job, published_data, trained

from lossatlas.files import read_json
from lossatlas.landscape.directions import Direction
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import History, Plane
from lossatlas.settings.studies import PlaneSettings
from lossatlas.stages import plane
from lossatlas.stages.landscape import require_fit

SETTINGS = {
    "run": "resnet",
    "seed": 5,
    "exclude_1d": True,
    "normalization": "filter",
    "x": {"min": -1.0, "max": 1.0, "points": 3},
    "y": {"min": 0.0, "max": 0.5, "points": 2},
    "train_examples": None,
    "test_examples": None,
    "batch_size": 64,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("plane")
    digits = published_data(root)
    return root, {"data": digits, "run": trained(root, digits, "resnet", depth=8, base_width=2)}


def computed(place, name, **changes):
    root, inputs = place
    made = job(root, name, PlaneSettings(**SETTINGS | changes).model_dump(), inputs)
    plane.compute(made)
    return made.out


@pytest.mark.parametrize("epoch", [0, 1])
def test_its_centre_is_the_loss_after_that_epoch(place, epoch):
    history = History.load(place[1]["run"] / "history.h5")
    out = computed(place, f"epoch{epoch}", epoch=epoch)
    centre = Plane.load(out / "plane.h5").train_loss[1, 0]
    assert math.isclose(centre, history.train_loss[epoch], rel_tol=1e-4)
    about = read_json(out / "plane.json")
    assert about["epoch"] == epoch
    assert about["run_train_loss"] == history.train_loss[epoch]
    assert about["run_test_error"] == history.test_error[epoch]
    assert math.isclose(about["center_train_loss"], centre, rel_tol=1e-5)
    assert history.train_loss[0] != history.train_loss[1]


def test_directions_are_normalized_by_the_weights_of_that_epoch(place):
    axis = Direction.load(computed(place, "first", epoch=0) / "direction_x.safetensors")
    name = next(name for name, part in axis.tensors.items() if part.ndim == 4)
    for file, same in (("epoch_0000", True), ("final", False)):
        weights = load_checkpoint(place[1]["run"] / f"{file}.safetensors").state[name]
        norms = [part.flatten(1).norm(dim=1) for part in (axis.tensors[name], weights)]
        assert torch.allclose(*norms, rtol=1e-4) == same


def test_the_last_epoch_is_the_final_weights(place):
    last, final = (Plane.load(computed(place, f"e{epoch}", epoch=epoch) / "plane.h5") for epoch in (1, None))
    assert (last.train_loss == final.train_loss).all()
    assert "epoch" not in read_json(place[0] / "eNone/out/plane.json")


def test_a_run_that_diverged_is_skipped(place):
    root, inputs = place
    wild = (root, inputs | {"run": diverged(root, inputs["run"])})
    about = read_json(computed(wild, "wild_plane", epoch=0) / "plane.json")
    assert about["status"] == "skipped" and about["epoch"] == 0


@pytest.mark.parametrize("changes", [{"input_size": 16}, {"num_classes": 9}])
def test_data_that_the_network_was_not_made_for_are_refused(place, changes):
    weights = load_checkpoint(place[1]["run"] / "final.safetensors")
    data = SimpleNamespace(image_size=(32, 32), num_classes=10, name="digits")
    made_for = replace(weights, model={**weights.model, "input_size": 32, "num_classes": 10})
    require_fit(made_for, data)
    with pytest.raises(
        ValueError, match=r"is for images of .* classes, data set digits has images of 32 pixels and 10"
    ):
        require_fit(replace(made_for, model={**made_for.model, **changes}), data)
