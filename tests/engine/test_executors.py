import os
import signal
import subprocess
import sys
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch

from engine.cases import chunk
from fault_cases import until
from lossatlas.engine import executors
from lossatlas.engine.executors import (
    UNKNOWN_WIDTH,
    InlineExecutor,
    TaskLostError,
    lost,
    process_pool,
    single_threaded,
    width,
)


def _fail(x):
    raise KeyError(x)


def _threads(_):
    return torch.get_num_threads(), os.getpid()


def _line(_):
    return os.environ["TQDM_POSITION"]


def test_every_worker_draws_its_progress_on_a_line_of_its_own():
    with process_pool(2) as executor:
        assert set(executor.map(_line, range(40))) <= {"0", "1"}


def test_results_do_not_depend_on_workers_or_chunks():
    points = np.linspace(-0.5, 0.5, 5)
    with InlineExecutor() as executor:
        alone = np.concatenate(list(executor.map(chunk, [points])))
        single = np.concatenate(list(executor.map(chunk, points[:, None])))
    with process_pool(2) as executor:
        spread = np.concatenate(list(executor.map(chunk, [points[:1], points[1:3], points[3:]])))
        threads, processes = zip(*executor.map(_threads, range(2)), strict=True)
    assert alone.tobytes() == single.tobytes() == spread.tobytes()
    assert set(threads) == {1} and os.getpid() not in processes


def test_the_inline_executor_keeps_the_contract_of_futures():
    with InlineExecutor() as executor:
        good, bad = executor.submit(pow, 2, 3), executor.submit(_fail, "x")
        assert good.done() and good.result() == 8
        assert isinstance(bad.exception(), KeyError)
        with pytest.raises(KeyError):
            list(executor.map(_fail, "ab"))


def test_an_interrupt_is_not_swallowed():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InlineExecutor().submit(interrupted)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(workers):
    with pytest.raises(ValueError, match=f"workers = {workers} is impossible; allowed: 1 or more"):
        process_pool(workers)


@pytest.mark.skipif(sys.platform != "linux", reason="cores of a process are known on Linux")
def test_one_process_per_core_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 3, 5})
    with process_pool() as executor:
        assert width(executor) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert executors.cores() == os.cpu_count()


def test_a_process_gets_its_threads_back():
    torch.set_num_threads(2)
    with pytest.raises(KeyError), single_threaded():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


def test_executors_say_how_many_workers_they_have():
    class Rank:
        num_workers = 5

    with ThreadPoolExecutor(3) as threads:
        assert width(threads) == 3
    assert width(InlineExecutor()) == 1 and width(Rank()) == 5
    assert width(object()) == UNKNOWN_WIDTH


def test_errors_of_workers_are_told_from_those_of_tasks():
    assert lost(KeyError("x")) == ""
    assert lost(BrokenProcessPool()) == "a worker process was killed (by the system, for want of memory?)"
    assert "its scheduler is gone" in lost(CancelledError())
    assert lost(TaskLostError("every worker died")) == "every worker died"


# two workers that have done nothing but start, then the end of this process without a word to them
LEAVING = """
import os, signal, sys, time
from lossatlas.engine.executors import process_pool

if __name__ == "__main__":
    pool = process_pool(2)
    slow, quick = pool.submit(time.sleep, 0.5), pool.submit(time.sleep, 0.5)
    slow.result(), quick.result()
    with open(sys.argv[1], "w") as file:
        print(*pool._processes, file=file)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_that_wait_for_a_task_end_with_their_parent(tmp_path):
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    numbers = tmp_path / "numbers"
    done = subprocess.run([sys.executable, str(script), str(numbers)], stderr=subprocess.DEVNULL)  # of semaphores left
    assert done.returncode == -signal.SIGKILL
    workers = [int(number) for number in numbers.read_text().split()]
    assert workers
    until(lambda: not any(_runs(number) for number in workers))


def _runs(number):
    """Whether a worker process is there that has not ended."""
    listed = subprocess.run(["ps", "-o", "stat=", "-o", "args=", "-p", str(number)], capture_output=True, text=True)
    state = listed.stdout.split()
    return bool(state) and not state[0].startswith("Z") and "multiprocessing" in listed.stdout
