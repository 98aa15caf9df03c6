from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from synthetic_report import changed, make_network

from lossatlas.report.artefacts import Results
from lossatlas.report.targets import Targets
from lossatlas.report.wording import is_papers, is_papers_run, published_error, run_title


def with_run(results: Results, name: str, **info: Any) -> Results:
    more = replace(results, runs={**results.runs, name: replace(results.runs["resnet20"], name=name)})
    return changed(more, name, **make_network(name) | info)


def value(run: str, results: Results, targets: Targets) -> float | None:
    found = published_error(run, results, targets)
    return None if found is None else found.value


def test_the_papers_title_and_number_belong_to_the_papers_network(results: Results, targets: Targets) -> None:
    thin = make_network("vgg16")["options"] | {"base_width": 16}
    assert run_title("vgg16", with_run(results, "vgg16", options=thin, title="any")) == "VGG-16"
    assert value("vgg16", with_run(results, "vgg16", options=thin), targets) == 6.75
    normed = with_run(results, "vgg16", options=thin | {"batch_norm": True}, title="VGG-16 with batch norm")
    assert run_title("vgg16", normed) == "VGG-16 with batch norm"
    assert value("vgg16", normed, targets) is None
    assert run_title("vgg16", results) == "VGG-16"  # not run
    assert value("vgg16", results, targets) == 6.75


def test_another_network_with_the_papers_title_shows_how_it_differs(results: Results, targets: Targets) -> None:
    options = make_network("wrn28_10")["options"] | {"widen": 2}
    narrow = with_run(results, "wrn28_10", options=options, title="WRN-28-10")
    assert run_title("wrn28_10", narrow) == "WRN-28-10 (widen 2)"
    assert value("wrn28_10", narrow, targets) is None


def test_a_run_of_another_name_has_its_own_title(results: Results) -> None:
    assert run_title("mine", with_run(results, "mine", title="My own")) == "My own"
    planned = replace(results, planned_runs={"later": {"data": "digits", "title": "Later"}})
    assert run_title("later", planned) == "Later"
    assert run_title("unknown", planned) == "unknown"


@pytest.mark.parametrize(
    ("regime", "train", "expected"),
    [
        ("embedded", {"batch_size": 32}, 6.00),
        ("shortened", {"batch_size": 64, "weight_decay": 0.0}, 7.37),
        ("shortened", {"batch_size": 8192}, 10.19),
        ("embedded", {"batch_size": 64, "optimizer": "adam"}, 7.80),
        ("embedded", {"batch_size": 32, "weight_decay": 1e-3}, None),
        ("full", {"batch_size": 32}, None),
        ("full", {"batch_size": 128}, 6.00),
    ],
)
def test_vgg9_stands_for_the_small_batch_outside_the_full_protocol(
    results: Results, targets: Targets, regime: Any, train: dict[str, Any], expected: float | None
) -> None:
    settings = {**results.runs["vgg9"].train, **train}
    small = changed(replace(results, regime=regime), "vgg9", train=settings)
    assert value("vgg9", small, targets) == expected


def test_a_large_batch_stands_for_the_published_one_outside_the_full_protocol(
    results: Results, targets: Targets
) -> None:
    settings = {**results.runs["vgg9"].train, "batch_size": 512}
    large = with_run(results, "vgg9_large", train=settings)
    assert value("vgg9_large", large, targets) == 10.19
    plain = with_run(results, "vgg9_large_nowd", train={**settings, "weight_decay": 0.0})
    assert value("vgg9_large_nowd", plain, targets) == 11.07
    assert value("vgg9_large", replace(large, regime="full"), targets) is None
    other = with_run(results, "vgg9_wide_batch", train=settings)  # a name that promises no published setting
    assert value("vgg9_wide_batch", other, targets) is None


def test_a_run_that_was_trained_otherwise_is_not_the_papers(results: Results) -> None:
    assert is_papers_run("resnet56", results)
    done = results.runs["resnet56"]
    adam = replace(done, info={**done.info, "train": {**done.train, "optimizer": "adam"}})
    other = replace(results, runs={**results.runs, "resnet56": adam})
    assert is_papers("resnet56", other) and not is_papers_run("resnet56", other)
    assert is_papers_run("never-trained", results)


@pytest.mark.parametrize(
    ("run", "title"),
    [
        ("vgg16_sse", "VGG-16, snapshot cycles"),
        ("vgg16_seed1", "VGG-16, seed 1"),
        ("vgg16_cifar100", "VGG-16, CIFAR-100"),
        ("wrn28_10_cifar100_sse_seed2", "WRN-28-10, CIFAR-100, snapshot cycles, seed 2"),
        ("vgg9_sse", "VGG-9, snapshot cycles"),
    ],
)
def test_data_schedule_and_seed_stand_in_the_title(results: Results, run: str, title: str) -> None:
    assert run_title(run, results) == title  # not run
    assert run_title(run, with_run(results, run, title="any")) == title


def test_what_makes_a_network_another_stands_before_data_schedule_and_seed(results: Results) -> None:
    small = make_network("preresnet164")["options"] | {"depth": 20, "base_width": 8}
    done = with_run(results, "preresnet164_sse_seed1", options=small, title="PreResNet-164")
    assert run_title("preresnet164_sse_seed1", done) == "PreResNet-164 (depth 20), snapshot cycles, seed 1"
    normed = make_network("vgg16")["options"] | {"batch_norm": True}
    done = with_run(results, "vgg16_sse", options=normed, title="VGG-16 with batch norm")
    assert run_title("vgg16_sse", done) == "VGG-16 with batch norm, snapshot cycles"


def test_runs_on_cifar_100_stand_beside_its_numbers(results: Results, targets: Targets) -> None:
    assert value("vgg16_cifar100", results, targets) == 27.4  # not run
    assert value("vgg16_cifar100", with_run(results, "vgg16_cifar100", num_classes=100), targets) == 27.4
    assert value("vgg16", with_run(results, "vgg16", num_classes=100), targets) == 27.4
    assert value("vgg16_cifar100", with_run(results, "vgg16_cifar100", num_classes=10), targets) == 6.75


@pytest.mark.parametrize("run", ["vgg16_sse", "vgg16_cifar100_sse", "vgg16_sse_seed1", "vgg9_sse", "vgg16_seed1"])
def test_snapshot_cycles_and_repeats_have_no_published_error_of_their_own(
    results: Results, targets: Targets, run: str
) -> None:
    assert value(run, results, targets) is None
    assert value(run, with_run(results, run), targets) is None


def test_a_run_in_cycles_under_a_plain_name_has_no_published_error(results: Results, targets: Targets) -> None:
    train = {**results.runs["vgg9"].train, "schedule": "cosine_cycles"}
    assert value("vgg16", with_run(results, "vgg16", train=train), targets) is None
    plain = {**train, "schedule": "piecewise_linear"}
    assert value("vgg16", with_run(results, "vgg16", train=plain), targets) == 6.75
