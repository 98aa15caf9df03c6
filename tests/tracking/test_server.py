import re
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from fault_cases import REPOSITORY
from lossatlas.paths import Workspace
from lossatlas.tracking import default_artifact_root, default_uri, ui_command
from lossatlas.tracking.connection import ENVIRONMENT
from lossatlas.tracking.server import QUIET


def test_defaults_lie_in_the_workspace(tmp_path):
    assert default_uri(Workspace(tmp_path)) == f"sqlite:///{tmp_path}/tracking/mlflow.db"
    assert default_artifact_root(Workspace(tmp_path)) == tmp_path / "tracking" / "artifacts"


def test_the_server_is_small_quiet_and_local():
    argv, env = ui_command("sqlite:////data/mlflow.db", 5001, artifact_root=Path("/data/artifacts"))
    assert argv[:4] == [sys.executable, "-m", "mlflow", "server"]
    options = dict(zip(argv[4::2], argv[5::2], strict=True))
    assert options["--host"] == "127.0.0.1"
    assert options["--workers"] == "1"
    assert env["MLFLOW_BACKEND_STORE_URI"] == "sqlite:////data/mlflow.db"
    assert not any("mlflow.db" in word for word in argv)  # which a list of processes would show, password and all
    assert options["--artifacts-destination"] == "file:///data/artifacts"
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PATH" in env


def test_artifacts_lie_beside_the_database_by_default():
    argv, _ = ui_command("sqlite:////data/mlflow.db", 5001)
    assert argv[-1] == "file:///data/artifacts"


@pytest.mark.parametrize(
    ("uri", "port", "message"),
    [
        ("http://127.0.0.1:5000", 5001, "is a server already; open it in a browser"),
        ("sqlite:////data/mlflow.db", 0, "port=0 is not within 1 to 65535"),
    ],
)
def test_what_cannot_be_served_is_refused(uri, port, message):
    with pytest.raises(ValueError, match=message):
        ui_command(uri, port, artifact_root=Path("/data/artifacts"))


def test_nothing_is_sent_elsewhere():
    """What DVC and MLflow would send is off where this program is used: settings, the Makefile, and its own imports."""
    dvc = ConfigParser()
    dvc.read(REPOSITORY / ".dvc" / "config")
    assert (dvc["core"]["analytics"], dvc["core"]["check_update"]) == ("false", "false")
    exported = dict(re.findall(r"^export (\w+) = (\w+)$", (REPOSITORY / "Makefile").read_text(), re.M))
    assert exported == {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "ITERATIVE_DO_NOT_TRACK": "1"}
    assert ENVIRONMENT["MLFLOW_DISABLE_TELEMETRY"] == QUIET["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert QUIET["DO_NOT_TRACK"] == "true"
