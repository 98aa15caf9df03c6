import subprocess
import sys
from pathlib import Path

import pytest

from lossatlas.closure import PACKAGE, import_closure


def names(*modules):
    return {path.relative_to(PACKAGE).as_posix() for path in import_closure(modules)}


def test_lazy_imports_count():
    assert "stages/runner.py" in names("lossatlas.cli")


def test_parent_packages_count():
    assert {"__init__.py", "models/__init__.py", "models/vgg.py"} <= names("lossatlas.models.vgg")


def test_a_module_that_is_none_is_refused():
    with pytest.raises(ValueError, match="lossatlas.nothing is no module"):
        import_closure(["lossatlas.nothing"])


def test_closure_of_training_has_what_python_loads():
    """Every module of ours that importing the stage loads is in its closure."""
    code = "import sys, lossatlas.stages.train; print(*[m for m in sys.modules if m.startswith('lossatlas')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    files = {Path(sys.modules[m].__file__ or "") for m in loaded if m in sys.modules}
    assert files <= set(import_closure(["lossatlas.stages.train"]))


def test_the_public_names_do_not_pull_everything_in():
    assert names("lossatlas.stages.data").isdisjoint({"landscape/surfaces.py", "report/single.py"})
