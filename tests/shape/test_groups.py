import math

import pytest

from lossatlas.shape.groups import correlations, has_learnt, spread
from lossatlas.shape.measures import MEASURES
from lossatlas.shape.ranks import rank_correlation


def run(error, curvature):
    return {"test_error": error, "curvature": curvature}


def test_groups_hold_their_runs_and_no_repeats():
    names = {
        "vgg9": ["vgg9", "vgg9_nowd", "vgg9_adam_large_nowd"],
        "resnet56": ["resnet56", "resnet56_large", "resnet56_adam", "resnet56_adam_large_nowd"],
        None: ["resnet56_noshort", "resnet56_noshort_lr001", "resnet20", "vgg9_seed1", "vgg9_large_seed2"],
    }
    runs = {name: run(0.1 + 0.01 * i, i) for i, name in enumerate(sum(names.values(), []))}
    found = correlations(runs)
    assert {group: c["curvature"]["runs"] for group, c in found.items()} == {"vgg9": 3, "resnet56": 4, "all": 10}
    assert found["all"]["curvature"]["spearman"] == pytest.approx(1)
    assert found["all"]["doubling_radius"]["runs"] == 0
    assert set(found["vgg9"]) == set(MEASURES)


def test_runs_that_have_learnt_nothing_do_not_count():
    runs = {str(i): run(0.1 * i, i) | {"learnt": True} for i in range(4)} | {"flat": run(0.9, 0) | {"learnt": False}}
    assert correlations(runs)["all"]["curvature"] == rank_correlation(range(4), [0.1 * i for i in range(4)])
    assert has_learnt(2.0, 10) and not has_learnt(2.1, 10) and has_learnt(2.1, 100)


def test_spread_is_over_the_run_and_its_repeats():
    runs = {"a": run(0.1, 1.0), "a_seed1": run(0.2, 2.0), "a_seed2": run(0.3, 6.0), "b": run(0.1, 1.0)}
    runs |= {"c": run(0.1, math.inf), "c_seed1": run(0.1, 1.0)}
    found = spread(runs)
    assert set(found) == {"a", "c"}
    assert found["a"]["seeds"] == 3
    assert found["a"]["test_error"] == pytest.approx(0.1)
    assert found["a"]["curvature"] == pytest.approx(math.sqrt(7))
    assert math.isnan(found["a"]["level_width"]) and math.isnan(found["c"]["curvature"])
