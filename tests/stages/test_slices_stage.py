"""Stage `slices` on a few digits."""

import numpy as np
import pytest
from stage_cases import job, published_data

from lossatlas.files import read_json
from lossatlas.results import SliceCurvatures
from lossatlas.settings.studies import SlicesSettings
from lossatlas.stages import slices

SETTINGS = {"data": "digits", "seed": 0, "hidden": 3, "pool": 2, "steps": 20, "examples": 48, "directions": 60}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    root = tmp_path_factory.mktemp("slices")
    return root, published_data(root)


def computed(digits, name, **changes):
    root, folder = digits
    made = job(root, name, SlicesSettings(**SETTINGS | changes).model_dump(), {"data": folder})
    slices.compute(made)
    return made.out


def test_spectrum_slices_and_their_numbers(digits):
    out = computed(digits, "small")
    found, about = SliceCurvatures.load(out / "slices.h5"), read_json(out / "slices.json")
    # (4 + 1) * 3 and (3 + 1) * 9
    assert about["parameters"] == len(found.eigenvalue) == 51
    assert found.measured.shape == found.weighted.shape == found.slice_min.shape == found.slice_max.shape == (60,)
    assert (np.diff(found.eigenvalue) >= 0).all()
    assert (about["status"], about["reason"], about["data"]) == ("finished", "", "digits")
    assert (about["samples_train"], about["slices"]) == (48, 60)
    assert about["slices_beyond_spectrum"] == 0
    assert about["negative_fraction"] == (found.eigenvalue < -1e-12 * found.eigenvalue[-1]).mean()
    assert about["slices_nonconvex"] == (found.slice_min < 0).mean()
    ratios = np.maximum(abs(found.slice_min), abs(found.slice_max)) / np.minimum(
        abs(found.slice_min), abs(found.slice_max)
    )
    assert about["condition"]["slice_median"] == pytest.approx(np.median(ratios))
    sizes = abs(found.eigenvalue)
    assert 1 < about["condition"]["full"] <= sizes.max() / sizes.min()
    measured, expected = about["mean_curvature"]
    assert measured == found.measured.mean() and expected == pytest.approx(found.eigenvalue.mean())
    assert abs(measured - expected) < 4 * about["mean_curvature_error"]
    assert about["weighted_p_value"] > 1e-3
    assert 0 < about["gradient_norm"] < 1 and 0 < about["train_loss"] < np.log(10)


def test_the_same_settings_give_the_same_bytes_and_others_do_not(digits):
    first, again, other = (computed(digits, name, seed=seed) for name, seed in (("one", 0), ("again", 0), ("other", 1)))
    for name in ("slices.h5", "slices.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_more_examples_than_there_are_are_refused(digits):
    with pytest.raises(ValueError, match="examples = 65 of many: the data set has 64; use fewer"):
        computed(digits, "many", examples=65)
