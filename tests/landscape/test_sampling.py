import math

import pytest

from lossatlas.landscape.sampling import Sampling

REFUSED = {
    "rtol = -0.1 is impossible": {"rtol": -0.1},
    "atol = nan is impossible": {"atol": math.nan},
    "rtol and atol are both 0": {"rtol": 0.0, "atol": 0.0},
    "minimum = 63 is impossible; at least 64": {"minimum": 63},
    "pilots = 0 is impossible": {"pilots": 0},
    "pilot_images = 4 is impossible": {"pilot_images": 4},
    "share = 0 is impossible": {"share": 0},
    "share = 1.5 is impossible": {"share": 1.5},
    r"steps = \(2, 4\) is impossible": {"steps": (2, 4)},
    r"steps = \(4, 4\) is impossible": {"steps": (4, 4), "images": 100},
    r"steps = \(0,\) is impossible": {"steps": (0,)},
    r"steps = \(9, 3, 1\) is impossible": {"steps": (9, 3, 1)},
    r"images = None with steps = \(4, 2\) is impossible": {"steps": (4, 2)},
    r"images = 32 with steps = \(4, 2\) is impossible": {"steps": (4, 2), "images": 32},
    r"images = 100 with steps = \(\) is impossible": {"images": 100},
}


@pytest.mark.parametrize("message", REFUSED)
def test_impossible_settings_are_refused_by_name(message):
    with pytest.raises(ValueError, match=message):
        Sampling(**REFUSED[message])


def test_the_tolerance_is_a_standard_error():
    assert Sampling(rtol=0.02, atol=0.01).tolerance(2.0) == pytest.approx(0.05 / 1.96)
    assert Sampling(rtol=0.0, atol=0.01).tolerance(2.0) == pytest.approx(0.01 / 1.96)


def test_the_images_that_are_needed():
    settings = Sampling(rtol=0.0, atol=0.196)
    # a standard error of 0.1 from a variance of 4: 400 images, or 1 / (1/400 + 1/1200) = 300 of 1,200
    assert settings.needed(4.0, 1.0, 10**9) == 416
    assert settings.needed(4.0, 1.0, 1200) == 320
    assert settings.needed(0.0, 1.0, 1200) == settings.minimum
    # a fifth of what is allowed is spent already
    assert settings.needed(4.0, 1.0, 10**9, floor=0.002) == 512
    assert settings.needed(4.0, 1.0, 1200, floor=0.0026) == math.inf
    assert settings.needed(math.nan, 1.0, 1200) == settings.needed(1.0, math.nan, 1200) == math.inf


def test_what_is_enough_is_what_is_needed():
    settings = Sampling()
    for variance in (0.5, 3.0, 40.0):
        n = settings.needed(variance, 1.5, 8000)
        assert math.sqrt(variance * (1 / n - 1 / 8000)) <= settings.tolerance(1.5)
