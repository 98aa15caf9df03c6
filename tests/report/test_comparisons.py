"""Every published number stands beside ours with the verdict that the protocol allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from synthetic_ensembles import with_connections, with_ensemble
from synthetic_report import changed

from lossatlas.report.artefacts import Results
from lossatlas.report.comparison import Comparison, standings
from lossatlas.report.comparisons import compare_all
from lossatlas.report.reasons import run_reasons
from lossatlas.report.targets import Published, Targets

FULL = {"epochs": 300, "batch_size": 128, "optimizer": "sgd", "weight_decay": 5e-4, "lr": 0.1}


def make(ours: float | None, published: float = 6.0, spread: float | None = None, **more: Any) -> Comparison:
    base: dict[str, Any] = {"paper": "li2018", "source": "Table 2", "what": "a network: test error", "unit": "%"}
    base |= {"published": Published(published, spread, True), "ours": ours, "comparable": True, "reasons": ()}
    return Comparison(**{**base, "stage": None, "shown": (), **more})


@pytest.mark.parametrize(
    ("comparison", "standing", "difference"),
    [
        (make(6.5), "reproduced", "+0.50 points"),
        (make(6.51), "off", "+0.51 points"),
        (make(5.4), "off", "−0.60 points"),
        (make(6.9, spread=0.3), "reproduced", "+0.90 points"),
        (make(6.91, spread=0.3), "off", "+0.91 points"),
        (make(None), "not run", "–"),
        (make(None, diverged=True), "off", "–"),
        (make(None, diverged=True, comparable=False), "not compared", "–"),
        (make(6.0, comparable=False), "not compared", "+0.00 points"),
        (make(0.03, published=0.017, unit="nats"), "reproduced", "+0.013 nats"),
        (make(0.04, published=0.017, unit="nats"), "off", "+0.023 nats"),
    ],
)
def test_verdicts(comparison: Comparison, standing: str, difference: str) -> None:
    assert comparison.standing == standing
    assert comparison.difference_text == difference


def test_texts_say_what_stands_there() -> None:
    assert make(6.5, spread=0.2).published_text == "6.00 ± 0.2 %"
    assert make(6.5).ours_text == "6.50 %"
    assert make(None).ours_text == "not run"
    assert make(None, diverged=True).ours_text == "diverged"
    assert make(7.0).reason == "chance of the seed, or a setting that the paper does not give"
    assert (
        make(7.0, comparable=False, reasons=("12 of 300 epochs", "other data")).reason == "12 of 300 epochs; other data"
    )
    assert make(6.0).reason == "" and make(None).reason == ""


def test_every_published_number_is_there_once(results: Results, targets: Targets) -> None:
    found = compare_all(results, targets)
    assert Counter(item.paper for item in found) == {"li2018": 45, "garipov2018": 90, "huang2017": 40}
    assert len({(item.paper, item.source, item.what, item.published) for item in found}) == len(found)
    assert all(item.shown for item in found)
    assert not any(item.published.in_documents for item in found if item.paper == "huang2017")


def test_on_embedded_data_nothing_is_judged_and_the_reasons_are_said(results: Results, targets: Targets) -> None:
    found = [item for item in compare_all(results, targets) if item.what == "ResNet-20: test error"]
    (number,) = found
    assert number.standing == "not compared" and number.ours == pytest.approx(8.0)
    assert number.published.value == 7.37 and number.stage == ("train", "resnet20")
    assert "other data (digits, 1,437 training images)" in number.reasons and "12 of 300 epochs" in number.reasons
    assert {"reproduced": 0, "off": 0}.items() <= standings(compare_all(results, targets)).items()


def as_full(results: Results, **changes: Any) -> Results:
    """The synthetic runs as those of the full protocol on CIFAR-10."""
    data = {"cifar10": {**results.data["digits"], "train": 50_000, "test": 10_000}}
    whole = replace(results, regime="full", data=data)
    for name in results.runs:
        settings = FULL | ({"lr": 0.01} if name == "resnet110_noshort" else {})
        whole = changed(whole, name, data="cifar10", train=settings | changes)
    return whole


def test_the_full_protocol_is_judged(results: Results, targets: Targets) -> None:
    by_name = {item.what: item for item in compare_all(as_full(results), targets) if item.paper == "li2018"}
    assert by_name["ResNet-56: test error"].standing == "reproduced"  # 6.00 beside 5.89
    assert by_name["ResNet-20: test error"].standing == "off"  # 8.00 beside 7.37
    assert by_name["ResNet-110-noshort: test error"].standing == "off"
    assert by_name["ResNet-110-noshort: test error"].ours_text == "diverged"
    assert by_name["ResNet-110: test error"].standing == "not run"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"epochs": 30}, "30 of 300 epochs"),
        ({"batch_size": 64}, "batch 64 instead of 128"),
        ({"lr": 0.025}, "learning rate 0.025 instead of 0.1"),
        ({"weight_decay": 0.005}, "weight decay 0.005 instead of 0.0005"),
        ({"augment": None}, "no augmentation"),
        ({"augment": {"padding": 2, "flip": True}}, "another augmentation"),
    ],
)
def test_a_departure_from_the_protocol_is_not_judged(
    results: Results, targets: Targets, change: dict[str, Any], reason: str
) -> None:
    found = compare_all(as_full(results, **change), targets)
    for name, source in (("ResNet-56", "Table 1"), ("ResNet-20", "Table 2")):
        (number,) = (item for item in found if item.what == f"{name}: test error" and source in item.source)
        assert (number.standing, number.reason) == ("not compared", reason)


def test_networks_of_a_low_rate_and_of_adam_have_rates_of_their_own(results: Results, targets: Targets) -> None:
    protocol = targets.content["li2018"]["protocol"]
    run = results.runs["resnet56"]
    for name, rate, optimizer in (
        ("resnet110_noshort", 0.01, "sgd"),
        ("resnet56_noshort_lr001", 0.01, "sgd"),
        ("resnet56_adam", 0.001, "adam"),
    ):
        settings = FULL | {"optimizer": optimizer, "lr": rate}
        some = replace(results, runs={name: replace(run, name=name, info={**run.info, "train": settings})})
        assert not [text for text in run_reasons(name, some, protocol) if "rate" in text]
        settings["lr"] = 0.1
        some = replace(results, runs={name: replace(run, name=name, info={**run.info, "train": settings})})
        assert f"learning rate 0.1 instead of {rate:g}" in run_reasons(name, some, protocol)


def test_a_subset_of_the_images_is_not_judged(results: Results, targets: Targets) -> None:
    full = as_full(results)
    part = replace(full, data={"cifar10": {**full.data["cifar10"], "train": 4096}})
    (number,) = (item for item in compare_all(part, targets) if item.what == "ResNet-20: test error")
    assert number.standing == "not compared" and number.reason == "4,096 of 50,000 training images"


GARIPOV = {"epochs": 200, "batch_size": 128, "optimizer": "sgd", "weight_decay": 5e-4, "lr": 0.05}
BUDGET, CURVE = "VGG-16, Ind, 2B, CIFAR-10: test error", "VGG-16, CIFAR-10: test error, lowest along a Bezier curve"


def garipov(results: Results, **changes: Any) -> Results:
    """Connections and ensembles of VGG-16 by the full protocol of Garipov et al., with other settings of training."""
    whole = with_connections(as_full(results))
    train = GARIPOV | changes
    for name in ("vgg16", "vgg16_seed1"):
        whole = changed(whole, name, train=train)
    return with_ensemble(whole, "vgg16-cifar10-ind", budget_epochs=train["epochs"], train=train)


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, ()),
        ({"epochs": 25}, ("25 of 200 epochs",)),
        ({"lr": 0.0125}, ("learning rate 0.0125 instead of 0.05",)),
        ({"weight_decay": 0.001}, ("weight decay 0.001 instead of 0.0005",)),
        ({"augment": None}, ("no augmentation",)),
    ],
)
def test_ensembles_and_curves_by_other_settings_are_not_judged(
    results: Results, targets: Targets, change: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    found = {item.what: item for item in compare_all(garipov(results, **change), targets)}
    standings = {found[what].standing for what in (BUDGET, CURVE)}
    assert standings == ({"not compared"} if reasons else {"off"})
    assert [found[what].reasons for what in (BUDGET, CURVE)] == [reasons, reasons]
