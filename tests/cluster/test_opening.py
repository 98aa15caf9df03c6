"""Executors from settings."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lossatlas.cluster import open_executor, points_executor
from lossatlas.cluster.target import build
from lossatlas.engine.executors import InlineExecutor
from lossatlas.settings.executors import ExecutorSettings


def settings(kind, **more):
    return ExecutorSettings(kind=kind, **more)


def test_each_kind_gives_its_executor():
    assert isinstance(open_executor(settings("inline")), InlineExecutor)
    with open_executor(settings("processes", workers=3)) as executor:
        assert executor._max_workers == 3
    target = {"_target_": "concurrent.futures.ThreadPoolExecutor", "max_workers": 2}
    with open_executor(settings("class", target=target)) as executor:
        assert isinstance(executor, ThreadPoolExecutor) and executor.submit(pow, 2, 3).result() == 8


@pytest.mark.parametrize(
    ("kind", "chosen", "there"),
    [("inline", True, False), ("processes", False, False), ("processes", True, True), ("class", False, True)],
)
def test_points_are_spread_where_it_pays(kind, chosen, there):
    more = {"target": {"_target_": "concurrent.futures.ThreadPoolExecutor"}} if kind == "class" else {}
    with points_executor(settings(kind, **more), chosen=chosen) as executor:
        assert (executor is not None) == there


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            {"_target_": "dask_jobqueue.SLURMCluster"},
            'not installed; run `pip install "dask-jobqueue"` on this machine',
        ),
        ({"_target_": "no_such_package.Pool"}, "needs the module 'no_such_package', which is not installed"),
        ({"_target_": "concurrent.futures.Pool"}, "module 'concurrent.futures' has no 'Pool'; look up its name"),
        (
            {"_target_": "concurrent.futures.ThreadPoolExecutor", "workers": 2},
            "refuses its options .*workers.*; change or remove them",
        ),
        ({"_target_": "collections.Counter"}, "makes a Counter, which is no concurrent.futures.Executor"),
    ],
)
def test_a_class_that_cannot_be_used_is_one_line_with_a_remedy(target, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ValueError, match=words) as caught:
        open_executor(settings("class", target=target))
    assert "\n" not in str(caught.value)


def test_dask_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        ValueError, match=r"'distributed', which is not installed; run `pip install \"lossatlas\[cluster\]\"`"
    ):
        open_executor(settings("dask"))


def _starting():
    raise RuntimeError("no job system\n  here")


def test_a_class_that_does_not_start_is_one_line():
    with pytest.raises(
        ValueError, match="executor.cluster: cluster.test_opening._starting does not start: no job system here"
    ):
        build({"_target_": "cluster.test_opening._starting"}, key="executor.cluster")


def test_options_reach_the_class():
    assert build({"_target_": "fractions.Fraction", "numerator": 3, "denominator": 4}, key="x") == 0.75
