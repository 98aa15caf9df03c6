import os

import pytest

from repository_copy import copy_repository

# tests compute with one thread, as the stages do
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def repository(tmp_path):
    """A temporary copy of the repository, and what runs commands in it."""
    return tmp_path, copy_repository(tmp_path)
