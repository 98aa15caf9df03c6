import os
import sys

import numpy as np
import pytest
import torch

from engine.cases import chunk
from lossatlas.engine import executors
from lossatlas.engine.executors import SerialExecutor, make_executor


def _fail(x):
    raise KeyError(x)


def _threads(_):
    return torch.get_num_threads(), os.getpid()


def _line(_):
    return os.environ["TQDM_POSITION"]


def test_every_worker_draws_its_progress_on_a_line_of_its_own():
    with make_executor("process", 2) as executor:
        assert set(executor.map(_line, range(40))) <= {"0", "1"}


def test_results_do_not_depend_on_workers_or_chunks():
    points = np.linspace(-0.5, 0.5, 5)
    with make_executor("serial") as executor:
        alone = np.concatenate(list(executor.map(chunk, [points])))
        single = np.concatenate(list(executor.map(chunk, points[:, None])))
    with make_executor("process", 2) as executor:
        spread = np.concatenate(list(executor.map(chunk, [points[:1], points[1:3], points[3:]])))
        threads, processes = zip(*executor.map(_threads, range(2)), strict=True)
    assert alone.tobytes() == single.tobytes() == spread.tobytes()
    assert set(threads) == {1} and os.getpid() not in processes


def test_the_serial_executor_keeps_the_contract_of_futures():
    with SerialExecutor() as executor:
        good, bad = executor.submit(pow, 2, 3), executor.submit(_fail, "x")
        assert good.done() and good.result() == 8
        assert isinstance(bad.exception(), KeyError)
        with pytest.raises(KeyError):
            list(executor.map(_fail, "ab"))


def test_an_interrupt_is_not_swallowed():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialExecutor().submit(interrupted)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(workers):
    with pytest.raises(ValueError, match=f"workers = {workers} is impossible; allowed: 1 or more"):
        make_executor("process", workers)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="executor kind = 'dusk' is unknown; allowed: process, serial"):
        make_executor("dusk")


@pytest.mark.skipif(sys.platform != "linux", reason="cores of a process are known on Linux")
def test_one_process_per_core_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5})
    with make_executor("process") as executor:
        assert executor._max_workers == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert executors._cores() == os.cpu_count()
