"""Memory that a process has freed and needs again soon."""

import ctypes
import os
import subprocess
import sys

import pytest

# counts the pages that the system clears for a block of 8 MiB, which is freed and asked for again twenty times
COUNT = """
import resource, sys
import torch
from lossatlas.engine.executors import taking_turns

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(2**21).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

cleared()
first = cleared()
with taking_turns():
    cleared()
    second = cleared()
print(first, second)
"""


def has_mallopt():
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.skipif(not has_mallopt(), reason="needs glibc")
def test_a_worker_that_is_told_to_give_memory_back_keeps_it_for_the_next_task():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    dask = environment | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", COUNT], env=dask, capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    # huge pages may make them few, never none
    assert first > 10 * max(second, 1), done.stdout


def test_nothing_is_changed_where_nobody_asked_for_it(monkeypatch):
    from lossatlas.engine.memory import keep_freed_memory

    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    keep_freed_memory.cache_clear()
    assert keep_freed_memory() is False
    keep_freed_memory.cache_clear()
