from __future__ import annotations

import pytest
from synthetic_claims import make_results
from synthetic_ensembles import with_connections

from lossatlas.report.artefacts import Results


@pytest.fixture(scope="module")
def all_hold() -> Results:
    return with_connections(make_results())
