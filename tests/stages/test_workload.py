"""How much a stage computes."""

from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.stages.workload import Counts, workload

CONF = Path(__file__).parents[2] / "conf"
DATA = Counts(train=512, test=128, size=8, classes=10)


@pytest.fixture(scope="module")
def smoke():
    return compose(CONF, ["preset=smoke"])[0]


def work(params, *key):
    return workload(params, key, {"digits": DATA})


def test_a_training_counts_its_epochs_and_their_evaluations(smoke):
    found = work(smoke, "train", "vgg9")
    assert (found.run, found.points, found.trained, found.evaluated) == ("vgg9", 3, 3 * 512, 4 * 640)


def test_surfaces_count_points_times_images(smoke):
    assert work(smoke, "plane", "resnet20_noshort").evaluated == 5 * 3 * (128 + 64)
    assert work(smoke, "line", "vgg9_interpolation").evaluated == 7 * (128 + 64)
    assert work(smoke, "plane", "vgg9").bound == "at most"  # from samples
    assert work(smoke, "plane", "resnet20").bound == ""


def test_a_map_of_the_hessian_counts_at_most_its_products(smoke):
    found = work(smoke, "hessian", "resnet20")
    assert (found.points, found.products, found.bound) == (9, 9 * 60 * 64, "at most")


def test_examples_are_not_more_than_there_are(smoke):
    few = workload(smoke, ("plane", "resnet20"), {"digits": Counts(train=10, test=4, size=8, classes=10)})
    assert few.evaluated == 25 * (10 + 4)


def test_curves_count_training_and_the_statistics_of_each_point(smoke):
    segment, curve = work(smoke, "curve", "vgg9_segment"), work(smoke, "curve", "vgg9_bezier")
    # both ways of setting the statistics take 128 + 128 images, one of them 128 more
    assert segment.evaluated == 5 * (2 * (128 + 128) + 128) and segment.trained == 0
    assert curve.trained == 2 * 512 and curve.evaluated > 3 * 640


def test_every_kind_that_trains_or_evaluates_is_counted(smoke):
    from lossatlas.stages.plan import STUDIES, stage_keys

    not_counted = {key[0] for key in stage_keys(smoke) if work(smoke, *key) is None}
    assert not_counted & {"train", *STUDIES} == {"slices"}
    counted = [work(smoke, *key) for key in stage_keys(smoke) if work(smoke, *key)]
    assert all(item.trained + item.evaluated + item.products > 0 and item.run in smoke.runs for item in counted)
