import math

import pytest

from lossatlas.files import write_json, write_text
from lossatlas.paths import Workspace
from lossatlas.tracking import collect
from lossatlas.tracking.names import flatten, key, scalars
from lossatlas.tracking.verdicts import verdicts

from .cases import HASH, STAGES, write_train


@pytest.fixture
def place(tmp_path):
    class Plain:
        workspace = Workspace(tmp_path)

    return Plain


def by_name(collected):
    return {f"{record.kind}/{record.name}": record for record in collected}


def test_a_training_has_its_settings_finals_and_curves(results):
    record = by_name(collect(results, "default", stages=STAGES))["train/resnet20"]
    assert record.stage_hash == HASH
    assert record.params == {
        "model.depth": "20",
        "model.shortcuts": "true",
        "rates": "[0.1,0.01]",
        "empty": "{}",
    }
    assert record.metrics == {
        "result/final_train_loss": 0.46,
        "result/final_train_error": 0.18,
        "result/final_test_loss": 0.48,
        "result/final_test_error": 0.16,
        "result/parameters": 272474.0,
        "result/steps": 2500.0,
        "result/seconds": 12.5,
    }
    assert record.history is not None
    tags = record.tags
    assert tags["mlflow.runName"] == "train resnet20"
    assert tags["mlflow.source.git.commit"] == "0" * 40
    assert tags["mlflow.note.content"] == (
        "ResNet-20\n\n"
        f"- Stage `train resnet20` of preset `default`, hash `{HASH[:16]}`\n"
        "- Files: `artifacts/default/train/resnet20`\n"
        "- Again: `lossatlas stage train resnet20`"
    )
    own = {"preset": "default", "kind": "train", "name": "resnet20", "stage_hash": HASH, "status": "finished"}
    own |= {"family": "resnet", "data": "digits", "device": "cpu", "cores": "2", "version.torch": "2.15.0"}
    assert {word: tags[f"lossatlas.{word}"] for word in own} == own


def test_a_plane_takes_its_family_from_its_own_file(results):
    record = by_name(collect(results, "default", stages=STAGES))["plane/resnet20-near"]
    assert record.tags["lossatlas.family"] == "resnet"
    assert record.metrics == {"result/center_train_loss": 0.46}
    assert record.history is None


def test_a_diverged_training_has_no_finals(results):
    write_train(results, status="diverged")
    record = by_name(collect(results, "default", stages=STAGES))["train/resnet20"]
    assert record.tags["lossatlas.status"] == "diverged"
    assert not any(name.startswith("result/final") for name in record.metrics)


@pytest.mark.parametrize(("checkpoints", "there"), [(False, False), (True, True)])
def test_checkpoints_are_artifacts_on_demand(results, checkpoints, there):
    record = by_name(collect(results, "default", stages=STAGES, checkpoints=checkpoints))["train/resnet20"]
    assert ("final.safetensors" in [path.name for path, _ in record.artifacts]) is there


def test_the_report_is_a_record(results):
    record = by_name(collect(results, "default", stages=()))["report/report"]
    assert record.metrics == {"checks/passed": 2.0, "checks/failed": 1.0, "checks/not_run": 1.0}
    assert sorted((folder, path.name) for path, folder in record.artifacts) == [
        ("", "checks.json"),
        ("", "report.html"),
        ("figures/surfaces", "resnet20.png"),
        ("tables", "errors.csv"),
    ]


def test_the_report_hash_follows_page_and_checks(results):
    hashes = [by_name(collect(results, "default", stages=()))["report/report"].stage_hash]
    write_text(results.reports("default") / "report.html", "another page")
    hashes.append(by_name(collect(results, "default", stages=()))["report/report"].stage_hash)
    write_json(results.reports("default") / "checks.json", [])
    hashes.append(by_name(collect(results, "default", stages=()))["report/report"].stage_hash)
    assert len(set(hashes)) == 3


def test_stages_without_output_are_named(results):
    collected = collect(results, "default", stages=[*STAGES, ("line", "vgg9"), ("train", "vgg9")])
    assert collected.missing == (("line", "vgg9"), ("train", "vgg9"))
    assert len(collected) == 4


def test_nothing_published_is_no_error(tmp_path):
    collected = collect(Workspace(tmp_path), "default", stages=STAGES)
    assert len(collected) == 0
    assert collected.missing == (*STAGES, ("report", "report"))


def test_a_damaged_file_is_named(results):
    write_text(results.artifacts("default", "train", "resnet20") / "run.json", "{")
    with pytest.raises(ValueError, match=r"run\.json is no valid JSON .* run the stage again"):
        collect(results, "default", stages=STAGES)


def test_long_values_are_cut_and_stay_distinct():
    first, second = (flatten({"list": "x" * 7000 + end})["list"] for end in "ab")
    assert len(first) <= 6000
    assert first != second


def test_keys_keep_to_the_allowed_characters():
    assert key("input.a[0]=b") == "input.a_0__b"
    assert key("../up") == "up"
    assert len(key("k" * 300)) == 250


def test_scalars_are_finite_numbers():
    assert scalars({"a": 1, "b": math.nan, "c": math.inf, "d": None, "e": True, "f": "x", "g": 0.5}) == {
        "a": 1.0,
        "g": 0.5,
    }


@pytest.mark.parametrize(
    "checks",
    [
        [{"verdict": "pass"}, {"verdict": "not run"}],
        {"a": "passed", "b": "missing"},
        {"checks": [{"status": "ok"}, {"status": "not_run"}], "passed": 1},
        {"first": {"x": {"verdict": "passed"}}, "second": [{"verdict": "not run"}]},
    ],
)
def test_verdicts_are_found_in_lists_and_mappings(checks):
    assert list(verdicts(checks)) == ["passed", "not_run"]
