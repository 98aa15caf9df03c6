from __future__ import annotations

from typing import Any

import pytest

from lossatlas.models import FAMILIES, check_model
from lossatlas.report import catalogue
from lossatlas.report.networks import (
    DEFAULTS,
    NETWORKS,
    RunName,
    at_paper_width,
    count_key,
    differences,
    network_built,
    network_named,
    split_run,
)
from lossatlas.report.targets import load_targets


def built(network: str, **changes: Any) -> dict[str, Any]:
    family, options = NETWORKS[network]
    return {"family": family, "options": {**options, **changes}}


@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network_of_the_papers_exists_and_has_a_parameter_count(network: str) -> None:
    family, options = NETWORKS[network]
    complete = check_model(family, options)
    assert at_paper_width(family, complete)
    # of the deepest network the paper gives the depth only
    if not network.startswith("resnet158"):
        assert load_targets().parameter_count(*count_key(network, classes=10))


def test_every_run_of_the_catalogue_names_its_network() -> None:
    for run in catalogue.TITLES:
        assert network_named(run) in NETWORKS
    assert [network_named(run) for run in catalogue.TABLE2] == [model for model, _ in catalogue.TABLE2.values()]
    assert [network_named(run) for run in ("vgg9_large_batch", "mine")] == ["vgg9", None]


@pytest.mark.parametrize(
    ("run", "network", "parts"),
    [
        ("vgg16", "vgg16", RunName("vgg16")),
        ("vgg16_seed2", "vgg16", RunName("vgg16", seed=2)),
        ("vgg16_seed0", "vgg16", RunName("vgg16", seed=0)),
        ("preresnet164_sse", "preresnet164", RunName("preresnet164", snapshots=True)),
        ("wrn28_10_cifar100", "wrn28_10", RunName("wrn28_10", hundred=True)),
        ("vgg16_cifar100_sse_seed1", "vgg16", RunName("vgg16", hundred=True, snapshots=True, seed=1)),
        ("vgg9_nowd_seed1", "vgg9", RunName("vgg9_nowd", seed=1)),
        ("resnet56_adam_large_nowd", "resnet56", RunName("resnet56_adam_large_nowd")),
        ("huang_resnet110_cifar100", None, RunName("huang_resnet110", hundred=True)),
        ("vgg16_sse_cifar100", "vgg16", RunName("vgg16_sse", hundred=True)),  # in another order it is no such run
    ],
)
def test_a_run_name_holds_network_data_schedule_and_seed(run: str, network: str | None, parts: RunName) -> None:
    assert network_named(run) == network
    assert split_run(run) == parts


@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_network_is_known_by_its_options_at_any_width(network: str) -> None:
    assert network_built(built(network)) == network
    assert network_built(built(network, base_width=4, growth=8)) == network


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        ("resnet20", {"depth": 56}, "depth 56"),
        ("resnet20", {"shortcut": False}, "shortcut False"),
        ("wrn56_4", {"width": 2}, "width 2"),
        ("wrn28_10", {"widen": 2}, "widen 2"),
        ("vgg16", {"batch_norm": True}, "batch_norm True"),
        ("vgg16", {"variant": "li"}, "variant li"),
    ],
)
def test_what_makes_it_another_network(network: str, changes: dict[str, Any], words: str) -> None:
    assert differences(network, built(network, **changes)) == (words,)
    assert differences(network, {"family": "other", "options": {}}) == ("other",)


def test_missing_options_are_the_familys_defaults() -> None:
    for family in FAMILIES:
        assert network_built({"family": family, "options": check_model(family, {})}) == DEFAULTS[family]
        assert network_built({"family": family, "options": {}}) == DEFAULTS[family]
    assert differences("vgg16", {"family": "vgg", "options": {"depth": 16, "variant": "garipov"}}) == (
        "batch_norm True",
    )


def test_parameter_counts_follow_classes_and_batch_norm() -> None:
    targets = load_targets()
    names = [count_key(network, classes=k) for k in (10, 100) for network in ("vgg16", "vgg16_bn")]
    counts = [targets.parameter_count(*name) for name in names]
    assert None not in counts
    assert len(set(counts)) == 4
    assert targets.parameter_count(*count_key("resnet20", classes=100)) is None


def test_width() -> None:
    assert at_paper_width("resnet", {"depth": 20, "base_width": 16})
    assert at_paper_width("resnet", {"depth": 20})
    assert not at_paper_width("resnet", {"base_width": 4})
