import itertools
import shutil

import pytest

from lossatlas.files import write_json, write_text
from lossatlas.paths import Workspace
from lossatlas.tracking.connection import connect

from .cases import write_report, write_stage, write_train
from .place import Place
from .postgresql import serving

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A migrated database without experiments of ours: the migrations take seconds, so they run once."""
    folder = tmp_path_factory.mktemp("template")
    session = connect(f"sqlite:///{folder / 'mlflow.db'}", experiment="template", artifact_root=folder / "artifacts")
    assert session.runs(preset="none") == []
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server with a migrated database, as a template."""
    with serving() as server:
        yield server


def pytest_generate_tests(metafunc):
    """A module that names `BACKENDS` has each of its tests with a database on all of them."""
    backends = getattr(metafunc.module, "BACKENDS", None)
    if backends and "place" in metafunc.fixturenames:
        metafunc.parametrize("place", backends, indirect=True)


@pytest.fixture
def place(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path)
    workspace.tracking.mkdir()
    if getattr(request, "param", "sqlite") == "postgresql":
        server, name = request.getfixturevalue("postgresql"), f"test{next(NUMBERS)}"
        server.create(name)
        return Place(workspace, server, name)
    shutil.copy(request.getfixturevalue("database"), workspace.tracking / "mlflow.db")
    return Place(workspace)


@pytest.fixture
def results(place):
    """Published stages, one side file and a report."""
    workspace = place.workspace
    write_stage(workspace, "data", "digits")
    write_train(workspace)
    plane = write_stage(workspace, "plane", "resnet20-near")
    found = {"run": "resnet20", "family": "resnet", "status": "finished", "reason": "", "center_train_loss": 0.46}
    write_json(plane / "plane.json", found)
    write_text(plane / "plane.h5", "grid")
    side = {"seconds": 12.5, "host": "laptop", "cores": 2, "device": "cpu", "git_commit": "0" * 40}
    write_json(workspace.side("default", "train", "resnet20"), side | {"finished_at": "2026-01-02T03:04:05+00:00"})
    write_report(workspace)
    return workspace
