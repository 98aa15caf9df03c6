from __future__ import annotations

import subprocess
import sys

import pytest

from lossatlas.report import catalogue
from lossatlas.report.targets import Targets, load_targets, where

MADE_UP = Targets(
    {
        "paper": {
            "rows": [{"k": 1, "x": 2.5, "seed": False}, {"k": 2, "x": 3.5, "seed": True}],
            "nested": {"net": [[6.75, 0.16], 5.89], "seed": False},
            "claims": [{"id": "one", "text": "below about 2.5"}, {"id": "two", "text": "from 1 to 2"}],
        },
        "parameter_counts": {"paper": {"net": 7}},
    }
)


def test_a_row_is_selected_by_its_keys_and_carries_its_source() -> None:
    first, second = (MADE_UP.get(("paper", "rows", where(k=k), "x")) for k in (1, 2))
    assert (first.value, first.in_documents, first.mark) == (2.5, False, "†")
    assert (second.value, second.in_documents, second.mark) == (3.5, True, "")


def test_a_mean_with_spread_and_a_flag_of_the_whole_table() -> None:
    found = MADE_UP.get(("paper", "nested", "net", 0))
    assert (found.value, found.spread, found.in_documents) == (6.75, 0.16, False)
    assert MADE_UP.get(("paper", "nested", "net", 1)).spread is None


def test_what_is_missing_is_none_or_an_error_that_names_the_address() -> None:
    for address in (("nowhere", "x"), ("paper", "rows", where(k=3), "x"), ("paper", "nested", "net", 5)):
        assert MADE_UP.find(address) is None
        with pytest.raises(KeyError, match=r"targets\.yaml has no number at"):
            MADE_UP.get(address)


def test_parameter_counts() -> None:
    assert MADE_UP.parameter_count("paper", "net") == 7
    assert MADE_UP.parameter_count("paper", "other") is None
    assert MADE_UP.parameter_count("other", "net") is None


def test_the_number_of_a_claim() -> None:
    assert MADE_UP.claim_number("one") == 2.5
    with pytest.raises(ValueError, match="claim 'two' holds 2 numbers, expected 1"):
        MADE_UP.claim_number("two")
    with pytest.raises(KeyError, match="no claim 'three'"):
        MADE_UP.claim("three")


def test_every_address_of_the_catalogue_exists() -> None:
    targets = load_targets()
    for run in catalogue.TABLE2:
        for quantity in ("train_loss", "train_error", "test_error"):
            targets.get(catalogue.table2_address(run, quantity))
    for run in catalogue.FIGURE6_CELLS:
        targets.get(catalogue.figure6_address(run))
    for run in catalogue.GARIPOV:
        for classes in (10, 100):
            address = catalogue.test_error_address(run, classes=classes)
            assert address is not None
            assert targets.get(address).spread is not None
    assert 0 < targets.claim_number("init_below_2_5") < 10


def test_vgg9_is_published_by_optimizer_batch_and_decay() -> None:
    targets = load_targets()
    found = set()
    for optimizer in ("sgd", "adam"):
        for batch in (128, 8192):
            for decay in (0.0, 5e-4):
                settings = {"optimizer": optimizer, "batch_size": batch, "weight_decay": decay}
                address = catalogue.test_error_address("vgg9_x", train=settings)
                assert address is not None
                found.add((targets.get(address).value, targets.get(address).in_documents))
    assert len(found) == 8
    assert {documented for _, documented in found} == {True, False}
    assert catalogue.test_error_address("vgg9") is None
    address = catalogue.test_error_address("vgg9", train={"optimizer": "sgd", "batch_size": 64, "weight_decay": 0.0})
    assert address is not None
    assert targets.find(address) is None


def test_only_garipov_publishes_100_classes() -> None:
    assert catalogue.test_error_address("resnet56", classes=100) is None
    assert catalogue.test_error_address("densenet121") is None


def test_importing_the_checks_is_light() -> None:
    heavy = "torch matplotlib jinja2 yaml h5py pydantic hydra"
    code = f"import sys, lossatlas.report.checks; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
