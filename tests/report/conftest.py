from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_report import make_preset

from lossatlas.report.artefacts import Results, read_results
from lossatlas.report.targets import Targets, load_targets


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return read_results(*make_preset(tmp_path))


@pytest.fixture
def targets() -> Targets:
    return load_targets()
