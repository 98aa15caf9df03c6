"""Imports point down only, and mathematics runs without the tools around it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "lossatlas"

GROUND = {"config", "settings", "paths", "results", "randomness", "data"}
GROUND |= {"files", "sealed", "progress", "closure", "shape"}
ENGINE = {"engine"}
SCIENCE = {"models", "training", "landscape", "ensembles"}
LAYERS = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(ENGINE, GROUND | ENGINE),
    **dict.fromkeys(SCIENCE, GROUND | ENGINE | SCIENCE),
    # the report, the tracking and the exports know result files only
    "tracking": GROUND | {"tracking"},
    "report": GROUND | {"report"},
    "exports": GROUND | {"report", "exports"},
    # executors beyond this machine: the only place that knows Dask
    "cluster": GROUND | ENGINE | {"cluster"},
    "stages": GROUND | ENGINE | SCIENCE | {"cluster", "report", "tracking", "stages"},
    # commands for networks that belong to nobody's pipeline
    "own": GROUND | ENGINE | SCIENCE | {"report", "exports", "own"},
    "doctor": GROUND | {"tracking", "doctor"},
    "__main__": {"cli"},
    "cli": GROUND | ENGINE | SCIENCE | {"report", "tracking", "exports", "cluster", "stages", "own", "doctor", "cli"},
}
# Settings of a network are checked against the table of networks, which needs no torch.
EXCEPTIONS = {(f"settings/{name}.py", "lossatlas.models") for name in ("runs", "trainings")}

TOOLS = {"hydra", "omegaconf", "mlflow", "dvc", "matplotlib", "pydantic", "typer", "jinja2"}
TOOLS |= {"plotly", "sqlalchemy", "psycopg", "yaml", "distributed"}
# of the ground, science needs what holds files and numbers; settings are not for it
NO_TOOLS = (GROUND - {"config", "settings"}) | ENGINE | SCIENCE


def imports(path):
    """The modules that a source file imports anywhere, as dotted names."""
    package = ["lossatlas", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            # `from lossatlas import results` names modules, `from lossatlas.results import Line` does not
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "lossatlas" else [module]


def place(path):
    """The folder or module directly below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


def test_every_module_has_a_layer():
    assert {place(path) for path in SOURCES} <= set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path):
    for name in imports(path):
        root, _, rest = name.partition(".")
        if root == "lossatlas" and (path.relative_to(PACKAGE).as_posix(), name) not in EXCEPTIONS:
            assert rest.split(".")[0] in LAYERS[place(path)], f"{path.name} imports {name}"
        if place(path) in NO_TOOLS:
            assert root not in TOOLS, f"{path.name} imports {name}"
        if place(path) != "cluster":
            assert root not in {"dask", "distributed"}, f"{path.name} imports {name}"
        if place(path) in {"report", "exports"}:
            assert root not in {"torch", "torchvision", "sklearn"}, f"{path.name} imports {name}"


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)


def test_mathematics_runs_without_the_tools_around_it():
    blocked = [*sorted(TOOLS), "torchvision", "sklearn"]
    done = run(
        f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import lossatlas
import lossatlas.models, lossatlas.models.checkpoint, lossatlas.models.initialization
import lossatlas.training.loop, lossatlas.landscape.surfaces, lossatlas.engine.evaluator, lossatlas.engine.executors
import torch
model = lossatlas.models.build("resnet", depth=8, base_width=2, num_classes=4, input_size=8)
data = torch.zeros(3, 3, 8, 8), torch.zeros(3).long()
found = lossatlas.plane(model, data, x=[0, 1], y=[0])
assert found.train_loss.shape == (2, 1), found
"""
    )
    assert done.returncode == 0, done.stderr


def test_settings_and_the_report_need_no_torch():
    done = run(
        """
import sys
sys.modules["torch"] = None
import lossatlas, lossatlas.config, lossatlas.settings, lossatlas.paths, lossatlas.results, lossatlas.models
import lossatlas.report.page, lossatlas.report.tables, lossatlas.report.figures.gallery, lossatlas.report.checks
import lossatlas.report.animations, lossatlas.exports, lossatlas.exports.command
assert lossatlas.models.check_model("resnet", {"depth": 20})
"""
    )
    assert done.returncode == 0, done.stderr
