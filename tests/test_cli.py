import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lossatlas.cli import app


def test_help_names_the_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(word in result.output for word in ("compose", "stage", "prefill", "track", "check", "ui"))


@pytest.mark.parametrize(
    "module", ["lossatlas", "lossatlas.cli", "lossatlas.stages.runner", "lossatlas.stages.tracked"]
)
def test_heavy_libraries_are_not_imported_early(module):
    heavy = ("torch", "mlflow", "matplotlib", "hydra", "dvc", "sklearn", "scipy", "pandas")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [["compose"], ["stage", "data", "digits"], ["prefill"], ["track"], ["check"]])
def test_outside_a_checkout_is_one_line(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "no dvc.yaml in" in result.stderr


def test_public_names_are_there_and_others_are_not():
    import lossatlas

    assert all(getattr(lossatlas, name) for name in lossatlas.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lossatlas.nothing
