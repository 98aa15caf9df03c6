"""The table of faults names tests that are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "faults.md").read_text().partition("## Checksums")[0]
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip()[:40] for row in ROWS])
def test_every_row_names_tests_that_are_there(row):
    file, named = None, re.findall(r"`([\w/.]*)(?:::(\w+))?`", row[2])
    assert named
    for path, function in named:
        file = TESTS / path if path else file
        assert file.is_file(), path
        assert not function or f"def {function}(" in file.read_text(), f"{file.name} has no {function}"


def test_no_fault_is_left_out():
    assert len(ROWS) == 17
