import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fault_cases import Place
from lossatlas.cli import app
from lossatlas.cli.output import Output, coloured, verdict

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def invoke(*words):
    return CliRunner().invoke(app, list(words))


def test_help_names_the_commands_and_the_exit_codes():
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(f"\n  {word} " in result.output for word in COMMANDS)
    assert "Exit codes:" in result.output and invoke().output == result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_quiet_mode(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0 and "\x1b[" not in result.output
    _, _, example = result.output.partition("Example")
    assert f"lossatlas {command}" in example
    assert command == "ui" or "--quiet" in result.output


@pytest.mark.parametrize("command", ["check", "times", "doctor", "track", "prefill", "stage", "compose"])
def test_commands_whose_output_is_data_have_a_json_mode(command):
    assert "--json" in invoke(command, "--help").output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["chek"], "No such command 'chek'"),
        (["check", "--loud"], "No such option: --loud (see lossatlas check --help)"),
        (["stage"], "Missing argument 'kind'"),
        (["ui", "--port", "high"], "Invalid value for '--port'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words, text):
    result = invoke(*words)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("lossatlas: ")
    assert text.lower() in result.stderr.lower()


@pytest.mark.parametrize(
    "module", ["lossatlas", "lossatlas.cli", "lossatlas.stages.runner", "lossatlas.stages.tracked"]
)
def test_heavy_libraries_are_not_imported_early(module):
    heavy = ("torch", "mlflow", "matplotlib", "hydra", "dvc", "sklearn", "scipy", "pandas", "dask", "distributed")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [["compose"], ["stage", "data", "digits"], ["prefill"], ["prefill", "--dry-run"], ["track"], ["check"], ["times"]],
)
def test_outside_a_checkout_is_one_line(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = invoke(*command)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "no dvc.yaml in" in result.stderr


def test_public_names_are_there_and_others_are_not():
    import lossatlas

    assert all(getattr(lossatlas, name) for name in lossatlas.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lossatlas.nothing


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    # commands set both, and put nothing back: they are processes of their own
    for name in ("LOSSATLAS_PROGRESS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    found = Place(tmp_path / "place")
    monkeypatch.chdir(found.workspace.root)
    return found


@pytest.mark.parametrize("command", [("prefill",), ("stage", "plane"), ("stage", "plane", "resnet20")])
def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(place, command):
    before = sorted(place.workspace.root.rglob("*"))
    result = invoke(*command, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    planes = [item for item in found["stages"] if item["key"] == "plane resnet20"]
    assert len(planes) == 1 and planes[0]["state"] == "to do" and planes[0]["seconds"] > 0
    assert found["seconds"] >= planes[0]["seconds"] and found["workers"] >= 1
    assert sorted(place.workspace.root.rglob("*")) == before


def test_a_dry_run_of_a_stage_that_is_not_there_names_the_kinds(place):
    result = invoke("stage", "plane", "nothing", "--dry-run")
    assert result.exit_code == 2 and "has no stage plane nothing; kinds: data, train" in result.stderr


def test_quiet_and_json_modes(place):
    assert invoke("stage", "data", "digits", "--quiet").output == ""
    [outcome] = json.loads(invoke("stage", "data", "digits", "--json").stdout)
    assert (outcome["key"], outcome["computed"]) == ("data digits", False)
    assert set(json.loads(invoke("times", "--json").stdout)) == {"data digits"}
    assert json.loads(invoke("compose", "preset=smoke", "--json").stdout)["preset"] == "smoke"
    assert invoke("compose", "preset=smoke", "-q").output == ""


@pytest.mark.parametrize("preset", ["cifar-mini", "cifar-mini/modes", "default"])
def test_committed_results_pass_their_checks_without_a_checkout(preset, tmp_path, monkeypatch):
    shutil.copy(ROOT / "reports" / preset / "checks.json", tmp_path)
    monkeypatch.chdir("/")
    result = invoke("check", str(tmp_path))
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "checks.json").read_text())
    for claim in told["claims"]:
        assert f"{claim['verdict']:13} {claim['id']}: " in result.stdout
        for number in claim["numbers"]:
            assert number["label"] in result.stdout
    last = result.stdout.strip().splitlines()[-1]
    assert last.startswith(f"preset {preset}, {told['regime']}: checks: ")
    record = json.loads(invoke("check", str(tmp_path), "--json").stdout)
    assert record["failures"] == [] and record["passed"] and len(record["claims"]) == len(told["claims"])


def test_strict_fails_on_results_that_are_not_of_the_full_protocol():
    result = invoke("check", str(ROOT / "reports/cifar-mini"), "--strict", "--quiet")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "regime shortened: only the full protocol" in result.stderr


def test_a_check_that_fails_decides_the_exit_code(tmp_path):
    record = json.loads((ROOT / "reports/cifar-mini/checks.json").read_text())
    record["checks"][0]["verdict"] = "fail"
    (tmp_path / "checks.json").write_text(json.dumps(record))
    result = invoke("check", str(tmp_path), "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["failures"] == [f"{record['checks'][0]['title']}: fail"]


def test_a_folder_without_checks_is_one_line(tmp_path):
    result = invoke("check", str(tmp_path))
    assert result.exit_code == 2 and f"no checks.json in {tmp_path}" in result.stderr


def test_colours_appear_on_terminals_alone_and_not_against_no_color(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert verdict("pass", 6) == "pass  "
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert coloured() and verdict("pass", 6) == "\x1b[32mpass  \x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert verdict("fail") == "fail"


def test_json_has_null_for_what_is_not_finite(capsys, monkeypatch):
    monkeypatch.setenv("LOSSATLAS_PROGRESS", "")
    Output(as_json=True).data({"a": [float("nan"), 1.0, {"b": float("inf")}]})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0, {"b": None}]}
