"""`dvc plots show` and `dvc plots diff` draw curves, lines and sharpness, from the definitions in `dvc.yaml`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from repository_copy import ROOT, environment

FILES = {
    "curves/vgg9.csv": "epoch,train_loss,train_error,test_loss,test_error\n0,2.3,0.9,2.3,0.9\n1,{0},0.5,1.2,0.6\n",
    "curves/resnet20.csv": "epoch,train_loss,train_error,test_loss,test_error\n0,2.3,0.9,2.3,0.9\n1,0.7,0.2,0.9,0.3\n",
    "lines/vgg9.csv": "alpha,train_loss,train_accuracy,test_loss,test_accuracy\n0,{0},0.5,1.2,0.4\n1,,0,,0\n",
    "tables/sharpness-numbers.csv": "run,network,curvature at the centre\nvgg9,VGG-9,{0}\nresnet20,ResNet-20,–\n",
}


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the plots of ours and two commits that differ in three files."""
    folder: Path = tmp_path_factory.mktemp("plots")
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}, sort_keys=False))
    (folder / "params.yaml").write_text("preset: smoke\n")
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    for value in ("1.25", "7.5"):
        for name, text in FILES.items():
            file = folder / "reports/smoke" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{0}", value))
        run(folder, "git", "add", "-A")
        run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", value)
    return folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(folder: Path, *command: str) -> dict[str, str]:
    """What each plot holds, as text."""
    found = json.loads(run(folder, "dvc", "plots", *command, "-o", str(folder / "out"), "--json"))
    assert not found.get("errors")
    return {name.removeprefix("reports/smoke/"): json.dumps(plots) for name, plots in found["data"].items()}


def test_every_file_is_a_plot_of_its_columns(commits: Path) -> None:
    found = shown(commits, "show")
    assert set(found) == set(FILES)
    assert all(name in found["curves/vgg9.csv"] for name in ("train_loss", "test_loss", "train_error", "test_error"))
    assert "7.5" in found["lines/vgg9.csv"] and "alpha" in found["lines/vgg9.csv"]
    assert "curvature at the centre" in found["tables/sharpness-numbers.csv"]


def test_two_revisions_stand_beside_each_other(commits: Path) -> None:
    found = shown(commits, "diff", "HEAD~1")
    for name in set(FILES) - {"curves/resnet20.csv"}:
        assert "1.25" in found[name] and "7.5" in found[name], name
        assert "HEAD~1" in found[name] and "workspace" in found[name], name
