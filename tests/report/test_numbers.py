"""Every published number with ours beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_claims import make_results
from synthetic_report import changed

from lossatlas.files import write_json
from lossatlas.report.artefacts import Results
from lossatlas.report.numbers import Reproduced, compare_numbers, count_verdicts, read_numbers
from lossatlas.report.targets import Targets


def found(results: Results, targets: Targets) -> dict[str, Reproduced]:
    return {number.what: number for number in compare_numbers(results, targets)}


def leaves(node: Any) -> Iterator[float]:
    """The numbers of a table; of a pair of value and spread the value."""
    if isinstance(node, dict):
        for key, item in node.items():
            if key not in (
                "seed",
                "weight_decay",
                "batch_size",
                "k",
                "shortcut",
                "lr",
                "optimizer",
                "model",
                "protocol",
            ):
                yield from leaves(item)
    elif isinstance(node, list):
        for item in node:
            yield from leaves(item[:1] if isinstance(item, list) else item)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield float(node)


def test_no_number_of_targets_yaml_is_left_out(targets: Targets) -> None:
    content = targets.content
    tables = [content["parameter_counts"], content["huang2017"]["table1_error"]]
    tables += [content["garipov2018"][name] for name in ("table1_error", "curves_test_error")]
    tables += [table for name, table in content["li2018"].items() if name.startswith(("figure", "table"))]
    numbers = compare_numbers(make_results(), targets)
    assert sorted(number.published for number in numbers) == sorted(
        value for table in tables for value in leaves(table)
    )
    assert len({number.what for number in numbers}) == len(numbers) > 190


def test_each_has_its_verdict_difference_and_tolerance(targets: Targets) -> None:
    what = "Li et al. 2018, Table 2: ResNet-56: test error"
    number = found(make_results(), targets)[what]
    ours = 100 * float(make_results().runs["resnet56"].info["final"]["test_error"])
    assert (number.published, number.tolerance, number.unit, number.mark) == (5.89, "0.5 points", "%", "")
    assert (number.verdict, number.regime) == ("not compared", "shortened")
    assert number.difference == pytest.approx(ours - 5.89) and number.text == f"off by {ours - 5.89:+.3g} %"
    exact = [replace(number, verdict=verdict, measured=5.99) for verdict in ("reproduced", "off")]
    assert [item.text for item in exact] == ["reproduced", "off by +0.1 %"]


def test_other_data_say_so(targets: Targets) -> None:
    numbers = compare_numbers(replace(make_results(), regime="embedded"), targets)
    errors = [number for number in numbers if number.unit]
    assert {number.verdict for number in errors} == {"not compared", "not run"}
    assert {number.regime for number in errors} == {"other data"}


def test_parameters_are_compared_in_the_published_form_alone(targets: Targets) -> None:
    what = "Li et al. 2018, number of parameters: resnet20, 10 classes"
    count = targets.parameter_count("li2018", "resnet20")
    right = {"input_size": 32, "num_classes": 10, "parameters": count}
    thin = {**right, "options": {"depth": 20, "base_width": 4}}
    network = {"family": "resnet", "options": {"depth": 20}}
    cases = [right, {**right, "parameters": 1}, {**right, "input_size": 8}, thin]
    changes = [changed(make_results(), "resnet20", **network | case) for case in cases]
    verdicts = [found(results, targets)[what].verdict for results in changes]
    assert verdicts == ["reproduced", "off", "not run", "not run"]


def test_numbers_are_stored_and_counted(targets: Targets, tmp_path: Path) -> None:
    numbers = compare_numbers(make_results(), targets)
    write_json(tmp_path / "checks.json", {"numbers": [asdict(number) for number in numbers]})
    assert read_numbers(tmp_path / "checks.json") == numbers
    counts = count_verdicts(numbers)
    assert counts["not compared"] > 10 and sum(counts.values()) == len(numbers)
    write_json(tmp_path / "checks.json", {"numbers": [{"id": "x"}]})
    with pytest.raises(ValueError, match="no readable list of numbers.*run `dvc repro`"):
        read_numbers(tmp_path / "checks.json")
