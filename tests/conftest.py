import os

import pytest
import torch

from repository_copy import copy_repository

# tests compute with one thread, as the stages do, and so do the processes that they start
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def bars_again():
    """Commands that were called in this process switched progress bars off for it and its children."""
    yield
    os.environ.pop("LOSSATLAS_PROGRESS", None)


@pytest.fixture
def repository(tmp_path):
    """A temporary copy of the repository, and what runs commands in it."""
    return tmp_path, copy_repository(tmp_path)
