import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fault_cases import Place
from lossatlas.cli import app
from lossatlas.cli.output import Output, coloured, verdict
from lossatlas.own.request import CHOICES, KEYS
from lossatlas.results import Line

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def invoke(*words):
    return CliRunner().invoke(app, list(words))


def test_help_names_the_commands_and_the_exit_codes():
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(f"\n  {word} " in result.output for word in COMMANDS)
    assert "Exit codes:" in result.output and invoke().output == invoke("-h").output == result.output
    assert invoke("plane", "-h").output == invoke("plane", "--help").output


def test_the_version_is_that_of_the_package():
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"lossatlas {version('lossatlas')}\n")


@pytest.mark.parametrize("kind", KEYS)
def test_the_help_of_a_command_for_own_networks_has_all_its_words(kind):
    words = invoke(kind, "--help").output.partition("Words")[2].partition("Example")[0]
    assert set(re.findall(r"\b(\w+)=", words)) == set(KEYS[kind])
    choices = {key: tuple(found.split("|")) for key, found in re.findall(r"\b(\w+)=([\w|]+\|\w+)", words)}
    assert all(set(choices[key]) == set(CHOICES[key]) for key in choices if key in CHOICES)
    assert "precision" in choices or kind == "hessian"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_quiet_mode(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0 and "\x1b[" not in result.output
    _, _, example = result.output.partition("Example")
    assert f"lossatlas {command}" in example
    assert "--quiet" in result.output and "--json" in result.output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["chek"], "No such command 'chek'"),
        (["check", "--loud"], "No such option: --loud (see lossatlas check --help)"),
        (["stage"], "Missing argument 'kind'"),
        (["plane", "model=m:Net"], "data= is missing"),
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


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_kind_of_stage_that_there_is_not_is_named(place, more):
    result = invoke("stage", "nonsense", *more)
    assert result.exit_code == 2 and "there is no kind of stage 'nonsense'; kinds: plan, data, train" in result.stderr
    assert "did you mean plane? kinds" in invoke("stage", "plame", *more).stderr


def test_overrides_may_follow_the_kind_of_stage(place):
    every = json.loads(invoke("stage", "plane", "--dry-run", "--json").stdout)["stages"]
    found = invoke("stage", "plane", "executor=inline", "--dry-run", "--json")
    assert found.exit_code == 0, found.stderr
    assert [item["key"] for item in json.loads(found.stdout)["stages"]] == [item["key"] for item in every]
    wrong = invoke("stage", "data", "executor=nothing")
    assert wrong.exit_code == 2 and "nothing" in wrong.stderr and "no stage" not in wrong.stderr


def test_nothing_is_tracked_before_anything_is_published(place):
    result = invoke("track")
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1
    assert "nothing is published yet for preset" in result.stderr
    assert not (place.workspace.root / "tracking").exists()


@pytest.mark.parametrize("words", [("export", "plane", "nope"), ("animate", "plane", "nope")])
def test_what_is_no_stage_is_not_said_to_be_one(place, words):
    result = invoke(*words, "--to", "a.npz")
    assert result.exit_code == 2 and "has no stage plane nope; there are: " in result.stderr
    assert "computes it" not in result.stderr


def test_an_export_told_as_data(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSATLAS_PROGRESS", "")
    monkeypatch.chdir(tmp_path)
    values = {f"{name}_{what}": np.ones(2) for name in ("train", "test") for what in ("loss", "accuracy")}
    Line(alpha=np.arange(2.0), **values, computed=np.ones(2, dtype=bool)).save("line.h5")
    told = invoke("export", "line.h5", "--to", "line.npz", "--json")
    assert json.loads(told.stdout) == {"file": "line.npz", "source": ["line.h5"]}
    again = invoke("export", "line.h5", "--to", "line.npz")
    assert again.exit_code == 2 and "is there already" in again.stderr
    assert invoke("export", "line.h5", "--to", "line.npz", "--force", "-q").output == ""


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
