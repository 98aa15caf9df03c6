"""The short study on paper."""

import pytest

from lossatlas.config import compose
from lossatlas.paths import Workspace


@pytest.fixture(scope="module")
def found():
    import short_study

    params = compose(short_study.cases.ROOT / "conf", short_study.PRESET)[0]
    return short_study.parts(params, Workspace(short_study.cases.ROOT), {})


def test_a_group_counts_what_its_stages_and_those_they_need_compute(found):
    first = found[0][0]
    assert first.name == "depth-20"
    assert sorted(first.stages) == [(k, n) for k in ("plane", "train") for n in ("resnet20", "resnet20_noshort")]
    # two trainings of 30 epochs with an evaluation before and after each; two planes of 51 x 51
    assert first.trained == 2 * 30 * 50_000
    assert first.evaluated == 2 * (31 + 51 * 51) * 60_000


def test_seconds_follow_from_the_rates(found):
    import short_study

    parts, rate = found
    second = next(part for part in parts if part.name == "depth-56")
    # forward: 0.15 s for 50,000 images; training: 3 s for an epoch
    expected = second.evaluated / 50_000 * 0.15 + second.trained / 50_000 * 3
    # without shortcuts the network has hardly fewer operations
    assert second.seconds == pytest.approx(expected, rel=0.01)
    assert "nothing measured" in short_study.page(parts, rate)


def test_no_stage_is_counted_twice(found):
    stages = [key for part in found[0] for key in part.stages]
    assert len(stages) == len(set(stages))


def test_measured_rates_take_the_place_of_the_targets():
    import short_study

    gpu = {
        "plane": {"seconds_per_point": {"median": 0.3}, "images": 25_000},
        "training": {"seconds_per_epoch": {"median": 6.0}, "images": 50_000},
    }
    rate, target = short_study.rates(gpu, 1e8), short_study.rates({}, 1e8)
    assert rate.evaluated == pytest.approx(4 * target.evaluated)
    assert rate.trained == pytest.approx(2 * target.trained)
    assert rate.source == "measured on ResNet-56"


def test_a_line_that_is_no_row_of_stages_is_refused(tmp_path):
    import short_study

    file = tmp_path / "groups.txt"
    file.write_text("# words\nfirst: plane resnet20\nsecond: plane\n")
    with pytest.raises(ValueError, match="'second: plane' is no name, colon and row of kinds and names"):
        short_study.groups(file)
