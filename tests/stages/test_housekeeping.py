import json
from pathlib import Path

import pytest
import torch

from lossatlas.config import compose
from lossatlas.engine.device import usable_device
from lossatlas.paths import Workspace
from lossatlas.stages.checkout import git_commit, scratch_folder
from lossatlas.stages.prune import prune
from lossatlas.stages.tracked import _restore_side_files

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


def test_a_gpu_that_is_not_there_is_refused():
    beyond = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=rf"device = '{beyond}' is not here .* device=cpu"):
        usable_device(beyond)
    assert usable_device("cpu") == torch.device("cpu")
