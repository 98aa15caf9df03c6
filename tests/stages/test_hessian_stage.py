"""Stage `hessian` on a tiny ResNet."""

import json

import numpy as np
import pytest
import torch
from stage_cases import diverged, job, published_data, trained

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.files import read_json
from lossatlas.landscape.curvature import HessianOperator
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.hessian import extremes
from lossatlas.landscape.points import displaced
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import HessianMap
from lossatlas.settings.studies import HessianSettings, PlaneSettings
from lossatlas.stages import hessian, plane
from lossatlas.stages.data import load_checked

COMMON = {
    "run": "resnet",
    "seed": 5,
    "exclude_1d": True,
    "normalization": "filter",
    "x": {"min": -1.0, "max": 1.0, "points": 3},
    "y": {"min": 0.0, "max": 0.5, "points": 2},
    "train_examples": 24,
    "batch_size": 16,
}
SETTINGS = COMMON | {"tolerance": 1e-3, "max_products": 60, "weights": "matrices"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("hessian")
    digits = published_data(root)
    return root, {"data": digits, "run": trained(root, digits, "resnet", depth=8, base_width=2)}


def made(place, name, **changes):
    root, inputs = place
    return job(root, name, HessianSettings(**SETTINGS | changes).model_dump(), inputs)


@pytest.fixture(scope="module")
def out(place):
    work = made(place, "resnet_hessian")
    hessian.compute(work)
    return work.out


def test_it_lies_on_the_plane_of_the_same_seed(place, out):
    root, inputs = place
    settings = PlaneSettings(**COMMON, test_examples=None).model_dump()
    beside = job(root, "resnet_plane", settings, inputs)
    plane.compute(beside)
    axes = [Direction.load(beside.out / f"direction_{name}.safetensors") for name in ("x", "y")]
    found = HessianMap.load(out / "hessian.h5")
    assert found.provenance["directions"] == [axis.description() for axis in axes]
    model = load_checkpoint(inputs["run"] / "final.safetensors").build()
    data = load_checked(beside)
    images = normalize(data.train_images[:24], NORMALIZATIONS["li"])
    operator = HessianOperator(model, (images, data.train_labels[:24]), batch_size=16)
    operator.load(displaced(model.state_dict(), axes, (1.0, 0.5)))
    alone = extremes(operator, tolerance=1e-3, max_products=60, seed=5)
    assert found.lambda_max[2, 1] == pytest.approx(alone.lambda_max, rel=1e-6)
    assert found.lambda_min[2, 1] == pytest.approx(alone.lambda_min, rel=1e-4)


def test_the_summary_is_that_of_the_map(out):
    found, about = HessianMap.load(out / "hessian.h5"), read_json(out / "hessian.json")
    ratio = np.abs(found.lambda_min / found.lambda_max)
    assert found.lambda_max.shape == (3, 2)
    assert about["ratio_median"] == pytest.approx(np.median(ratio))
    assert about["ratio_max"] == pytest.approx(ratio.max())
    assert about["below_one_percent"] == pytest.approx((ratio < 0.01).mean())
    assert about["points"] == about["finite"] == 6
    assert about["converged"] == found.converged.sum() == 6
    assert about["products"] == found.products.sum()
    assert (about["run"], about["status"], about["reason"]) == ("resnet", "finished", "")
    assert (about["samples_train"], about["tolerance"], about["weights"]) == (24, 1e-3, "matrices")


def test_points_left_by_a_kill_are_used_and_the_bytes_are_the_same(place, out):
    work, first = made(place, "resumed"), made(place, "resnet_hessian")
    head, *lines = (first.work / "points.jsonl").read_text().splitlines()
    assert len(lines) == 6
    (work.work / "points.jsonl").write_text("\n".join([head, *lines[:2], lines[3][:20]]))
    hessian.compute(work)
    assert (work.out / "hessian.h5").read_bytes() == (out / "hessian.h5").read_bytes()
    assert (work.out / "hessian.json").read_bytes() == (out / "hessian.json").read_bytes()


def test_numbers_of_a_map_that_is_partly_unknown(place):
    shape = (1, 4)
    high = np.array([[np.nan, 0.0, 2.0, -1.0]])
    low = np.array([[np.nan, 0.0, -0.01, -3.0]])
    other = {name: np.zeros(shape) for name in ("residual_max", "residual_min")}
    mask = np.array([[False, True, True, False]])
    found = HessianMap(
        x=np.zeros(1),
        y=np.arange(4.0),
        lambda_max=high,
        lambda_min=low,
        **other,
        products=np.full(shape, 7),
        converged=mask,
        computed=np.ones(shape, dtype=bool),
    )
    numbers = hessian._numbers(made(place, "numbers"), found)
    assert (numbers["finite"], numbers["points"], numbers["converged"], numbers["products"]) == (2, 4, 2, 28)
    assert (numbers["ratio_max"], numbers["ratio_median"], numbers["below_one_percent"]) == (3.0, 1.5025, 0.5)
    json.dumps(numbers, allow_nan=False)


def test_a_run_that_diverged_is_skipped_with_the_reason(place):
    root, inputs = place
    settings = HessianSettings(**SETTINGS).model_dump()
    work = job(root, "wild_hessian", settings, inputs | {"run": diverged(root, inputs["run"])})
    hessian.compute(work)
    about, found = read_json(work.out / "hessian.json"), HessianMap.load(work.out / "hessian.h5")
    assert about["status"] == "skipped"
    assert about["reason"] == found.note == "the run diverged (epoch 1: weights not finite)"
    assert (about["ratio_median"], about["converged"], about["points"]) == (None, 0, 6)
    assert not found.computed.any()
    assert np.isnan(found.lambda_min).all()
    assert torch.get_num_threads() == 1
