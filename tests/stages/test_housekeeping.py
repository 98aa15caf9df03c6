import json
from pathlib import Path

import pytest
import torch

from lossatlas.config import ConfigError, compose, validate
from lossatlas.engine.device import usable_device
from lossatlas.files import write_json
from lossatlas.paths import Workspace
from lossatlas.settings.preset import FOLDERS
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.plan import KINDS, expected_file, make_task, stage_keys
from lossatlas.stages.prune import prune
from lossatlas.stages.times import times_table
from lossatlas.stages.tracked import _restore_side_files
from lossatlas.tracking import collect

ROOT = Path(__file__).parents[2]
PARAMS, _ = compose(ROOT / "conf", ["preset=smoke"])


def test_without_a_git_program_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(Workspace(ROOT)) is None


def test_outside_a_repository_there_is_no_commit(tmp_path):
    assert git_commit(Workspace(tmp_path)) is None


def test_files_of_runs_that_are_not_planned_are_removed(tmp_path):
    workspace = Workspace(tmp_path)
    reports = workspace.reports("smoke")
    for name in ("metrics/vgg9.json", "metrics/gone.json", "curves/gone.csv", "checks.json"):
        (reports / name).parent.mkdir(parents=True, exist_ok=True)
        (reports / name).write_text("")
    assert [path.name for path in prune(workspace, PARAMS)] == ["gone.json", "gone.csv"]
    assert (reports / "metrics/vgg9.json").exists() and (reports / "checks.json").exists()


def test_timings_of_restored_stages_come_back_from_scratch(tmp_path, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    workspace, key = Workspace(tmp_path), ("train", "vgg9")
    published = workspace.artifacts("smoke", *key)
    kept = scratch_folder(workspace, key, "ab" * 32)
    for folder in (published, kept):
        folder.mkdir(parents=True)
    (published / "stage.json").write_text(json.dumps({"stage_hash": "ab" * 32}))
    (kept / "side.json").write_text(json.dumps({"seconds": 3.0}))
    _restore_side_files(workspace, PARAMS, [key, ("train", "resnet20")])
    assert json.loads(workspace.side("smoke", *key).read_text()) == {"seconds": 3.0}
    assert not workspace.side("smoke", "train", "resnet20").exists()


BELOW = PARAMS.model_copy(update={"preset": "cifar-mini/modes"})


def test_a_preset_below_another_has_folders_of_its_own(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.reports("cifar-mini/modes") == tmp_path / "reports/cifar-mini/modes"
    assert (
        workspace.artifacts("cifar-mini/modes", "train", "vgg9") == tmp_path / "artifacts/cifar-mini/modes/train/vgg9"
    )
    assert workspace.side("cifar-mini/modes", "train", "vgg9") == (
        tmp_path / "artifacts/side/cifar-mini/modes/train/vgg9.json"
    )
    assert expected_file("cifar-mini/modes") == "reports/expected/cifar-mini/modes.json"
    # no output of either lies in one of the other's
    upper = PARAMS.model_copy(update={"preset": "cifar-mini"})
    outputs = [
        {path for key in stage_keys(params) for path in make_task(workspace, params, key).outputs.values()}
        | {workspace.plans(params.preset)}
        for params in (upper, BELOW)
    ]
    assert not any(a in (b, *b.parents) or b in a.parents for a in outputs[0] for b in outputs[1])


def test_no_preset_lies_in_a_folder_of_results():
    folders = {*KINDS, "metrics", "curves", "lines", "tables", "figures", "vector", "stages"}
    assert folders == FOLDERS
    values = PARAMS.model_dump()
    for word in sorted(folders):
        with pytest.raises(ConfigError, match=f"preset: {word} is a folder of what preset a publishes; take another"):
            validate(values | {"preset": f"a/{word}"}, source="here")


def test_a_preset_below_another_is_pruned_timed_and_collected_alone(tmp_path):
    workspace = Workspace(tmp_path)
    for preset in ("cifar-mini", "cifar-mini/modes"):
        for name in ("metrics/vgg9.json", "metrics/gone.json"):
            (workspace.reports(preset) / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace.reports(preset) / name).write_text("")
    assert [path.relative_to(tmp_path).as_posix() for path in prune(workspace, BELOW)] == [
        "reports/cifar-mini/modes/metrics/gone.json"
    ]
    assert (tmp_path / "reports/cifar-mini/metrics/gone.json").exists()
    write_json(workspace.side(BELOW.preset, "train", "vgg9"), {"seconds": 3.0, "cores": 2, "python": "3"})
    assert "preset cifar-mini/modes" in times_table(workspace, BELOW)
    with pytest.raises(FileNotFoundError, match="preset cifar-mini is published"):
        times_table(workspace, BELOW.model_copy(update={"preset": "cifar-mini"}))
    stage = {"stage_hash": "ab" * 32, "settings": {}}
    write_json(workspace.artifacts(BELOW.preset, "train", "vgg9") / "stage.json", stage)
    (record,) = collect(workspace, BELOW.preset, stages=[("train", "vgg9")])
    assert record.tags["lossatlas.preset"] == record.preset == "cifar-mini/modes"
    assert not len(collect(workspace, "cifar-mini", stages=[("train", "vgg9")]))


def test_a_gpu_that_is_not_there_is_refused():
    beyond = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=rf"device = '{beyond}' is not here .* device=cpu"):
        usable_device(beyond)
    for name in ("foo", "cuda:x", "meta", ""):
        with pytest.raises(ValueError, match=rf"device = '{name}' is impossible; allowed: cpu, cuda, cuda:N; say dev"):
            usable_device(name)
    assert usable_device("cpu") == torch.device("cpu")
