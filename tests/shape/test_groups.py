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


def test_the_vgg_group_is_the_eight_minimizers_and_no_run_of_another_study():
    optimizers, batches, decays = ("", "_adam"), ("", "_large"), ("", "_nowd")
    eight = [f"vgg9{a}{b}{c}" for a in optimizers for b in batches for c in decays]
    others = ["vgg9_sse", "vgg9_sse_seed1", "vgg9_cifar100", "vgg9_lr01", "vgg91", "huang_vgg9", "vgg9_nowd_large"]
    runs = {name: run(0.1 + 0.01 * i, i) for i, name in enumerate([*eight, *others])}
    assert correlations(runs)["vgg9"]["curvature"]["runs"] == 8
    # repeats with other seeds give spreads and no further runs
    seeds = {f"{name}_seed{i}": run(0.1, i) for name in eight for i in (1, 2)}
    found = correlations(runs | seeds)
    assert found["vgg9"] == correlations({name: runs[name] for name in eight})["vgg9"]
    assert set(eight) < set(spread(runs | seeds))


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
