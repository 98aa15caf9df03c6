from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from lossatlas.files import read_json, sha256_path, write_json
from lossatlas.stages import check, figures, report
from lossatlas.stages.job import Job

MAKE_PRESET = runpy.run_path(str(Path(__file__).parents[1] / "report" / "synthetic_report.py"))["make_preset"]


def run_all(root: Path, settings: dict[str, Any], inputs: dict[str, Path]) -> Path:
    out = root / "out"
    figures.compute(Job("figures", settings, inputs, {}, out, root / "work"))
    check.compute(Job("check", settings, inputs, {}, out, root / "work"))
    drawn = inputs | {"figures": out / "figures", "checks": out / "checks.json"}
    report.compute(Job("report", settings, drawn, {}, out, root / "work"))
    return out


def test_the_three_stages_write_a_report_twice_the_same(tmp_path: Path) -> None:
    settings, inputs = MAKE_PRESET(tmp_path / "in")
    first = run_all(tmp_path / "a", settings, inputs)
    names = {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()}
    assert {"report.html", "checks.json", "figures/figures.json", "figures/figure-5.png"} <= names
    assert {
        f"tables/{name}.{kind}" for name in ("table-2", "test-errors", "all-runs") for kind in ("csv", "md")
    } <= names
    index = read_json(first / "figures" / "figures.json")
    assert {entry["file"] for entry in index} == {path.name for path in (first / "figures").glob("*.png")}
    page = (first / "report.html").read_text()
    assert all(f'id="{entry["id"]}"' in page for entry in index)
    assert "Synthetic &lt;results&gt;" in page
    assert str(tmp_path) not in page
    claims = read_json(first / "checks.json")["claims"]
    assert {claim["verdict"] for claim in claims} == {"not run"}
    assert all(f'id="claim-{claim["id"]}"' in page for claim in claims)
    assert sha256_path(first) == sha256_path(run_all(tmp_path / "b", settings, inputs))


def test_check_reads_committed_values(tmp_path: Path) -> None:
    settings, inputs = MAKE_PRESET(tmp_path / "in")
    runs = {"resnet20": {"test_error": 0.5}}
    write_json(tmp_path / "e.json", {"preset": "made-up", "tolerance": {"test_error": 0.01}, "runs": runs})
    places = {"expected": str(tmp_path / "e.json")}
    check.compute(Job("check", settings, inputs, places, tmp_path / "out", tmp_path / "work"))
    record = read_json(tmp_path / "out" / "checks.json")
    assert record["passed"] is False
    assert {item["id"]: item["verdict"] for item in record["checks"]}["expected/resnet20"] == "fail"
    assert record["runs"]["resnet20"]["test_error"] == pytest.approx(0.08)


def test_nothing_planned_is_a_report_of_what_was_not_run(tmp_path: Path) -> None:
    plan = {"runs": {}, "planes": {}, "lines": {}, "datasets": {}}
    out = run_all(tmp_path, {"preset": "none", "title": "Nothing", "regime": "shortened", **plan}, {})
    assert "not run" in (out / "report.html").read_text()
