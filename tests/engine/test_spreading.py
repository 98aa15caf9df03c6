"""Places spread over executors of several kinds; faults of workers."""

import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch

from lossatlas.closure import SourceChangedError
from lossatlas.engine import parcels, spreading
from lossatlas.engine.executors import InlineExecutor, WorkersLostError, process_pool
from lossatlas.engine.parcels import Done, address, packed, work
from lossatlas.engine.spreading import spread
from lossatlas.training.dropout import seeded

GROUPS = [[i] for i in range(23)]
SQUARES = {i: i * i for i in range(23)}


def squares(counter=None):
    if counter is not None:
        with open(counter, "a") as stream:
            stream.write(f"{os.getpid()}\n")
    return lambda i: i * i


def dying(mark):
    """Kill the worker once, in the middle."""

    def at(i):
        if i == 11 and not os.path.exists(mark):
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return i * i

    return at


def failing():
    def at(i):
        raise ValueError(f"place {i} is impossible")

    return at


class Recording(InlineExecutor):
    """Keeps what travels with each task."""

    def __init__(self):
        self.sent = []

    def submit(self, fn, /, *args, **kwargs):
        self.sent.append(args)
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("make", [lambda: None, InlineExecutor, lambda: ThreadPoolExecutor(5), lambda: process_pool(2)])
def test_every_place_is_computed_once(make):
    executor = make()
    found = list(spread(squares, GROUPS, executor))
    if executor:
        executor.shutdown()
    assert len(found) == len(SQUARES) and dict(found) == SQUARES


def test_nothing_to_do_starts_nothing():
    executor = Recording()
    assert list(spread(failing, [], executor)) == [] and not executor.sent


def test_groups_stay_together_and_in_order():
    found = [place for place, _ in spread(squares, [[4, 2], [7, 1, 0]], InlineExecutor())]
    assert sorted([found[:2], found[2:]]) == [[4, 2], [7, 1, 0]] or sorted([found[:3], found[3:]]) == [
        [4, 2],
        [7, 1, 0],
    ]


def test_the_contents_reach_a_worker_once(tmp_path):
    counter = tmp_path / "made"
    with process_pool(2) as executor:
        assert dict(spread(partial(squares, str(counter)), GROUPS, executor, folder=tmp_path)) == SQUARES
    made = counter.read_text().split()
    assert len(made) == len(set(made)) <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_tasks_are_small_beside_the_contents(tmp_path):
    executor = Recording()
    weights = os.urandom(1 << 20)
    assert dict(spread(partial(_with, weights), GROUPS, executor, folder=tmp_path)) == SQUARES
    assert all(contents is None for _, _, contents in executor.sent)


def _with(_weights):
    return lambda i: i * i


def test_workers_without_the_file_get_the_contents_with_a_task(tmp_path, monkeypatch):
    """As on machines that share no file system."""
    plain = parcels.Path.read_bytes
    monkeypatch.setattr(parcels.Path, "read_bytes", lambda path: plain(path.with_name("elsewhere")))
    executor = Recording()
    assert dict(spread(partial(_with, b"unseen"), GROUPS, executor, folder=tmp_path)) == SQUARES
    assert sum(contents is not None for _, _, contents in executor.sent) == 1


class Ranks(Executor):
    """Workers that take tasks in turn, each with a file system and a memory of its own."""

    workers = 3

    def __init__(self):
        self.asked, self.sent, self.made = 0, 0, set()

    def submit(self, fn, /, parcel, places, contents):
        rank, self.asked = self.asked % self.workers, self.asked + 1
        self.sent += contents is not None
        self.made |= {rank} if contents is not None else set()
        future = Future()
        future.set_result(Done([i * i for i in places] if rank in self.made else None, 0.2))
        return future


def test_no_contents_are_sent_beyond_one_for_each_worker():
    executor = Ranks()
    assert dict(spread(squares, GROUPS, executor)) == SQUARES
    assert executor.sent == executor.workers


class Bringing(Ranks):
    """Brings the contents to its workers itself."""

    def __init__(self):
        super().__init__()
        self.shared = []

    def share(self, contents):
        self.shared.append(contents)
        return "a name for them"

    def submit(self, fn, /, parcel, places, contents):
        assert contents in (None, "a name for them")
        return super().submit(fn, parcel, places, contents)


def test_an_executor_that_brings_contents_itself_gets_them_once():
    executor = Bringing()
    assert dict(spread(squares, GROUPS, executor)) == SQUARES
    assert executor.shared == [packed(squares)]


def test_a_file_of_other_contents_is_not_used(tmp_path):
    parcel = address(packed(partial(_with, b"altered")), tmp_path)
    Path(parcel.path).write_bytes(packed(failing))
    assert work(parcel, [3]) == Done(None)


def test_a_worker_with_other_sources_is_refused(tmp_path, monkeypatch):
    parcel = address(packed(squares), tmp_path)
    monkeypatch.setattr(parcels, "package_hash", lambda: "other")
    with pytest.raises(SourceChangedError, match="a worker runs other sources .* install the same version"):
        work(parcel, [0])


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="cannot be sent to workers .* define its class in a module"):
        list(spread(partial(_with, threading.Lock()), GROUPS, InlineExecutor()))


@pytest.mark.parametrize("installed", [True, False])
def test_only_what_is_used_of_the_data_travels(installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
    images = torch.arange(100_000.0).reshape(1000, 100)
    contents = packed(partial(_with, images[10:20]))
    assert len(contents) < 10 * 100 * 4 + 2000
    assert torch.equal(pickle.loads(contents).args[0], images[10:20])


def test_an_error_of_a_task_arrives_as_itself():
    with process_pool(1) as executor, pytest.raises(ValueError, match=r"^place \d is impossible$"):
        list(spread(failing, GROUPS, executor))


def test_a_killed_process_is_one_line_and_what_came_before_stays(tmp_path):
    make, found = partial(dying, str(tmp_path / "killed")), {}
    with process_pool(1) as executor, pytest.raises(WorkersLostError, match="a worker process was killed .* goes on"):
        for place, value in spread(make, GROUPS, executor, folder=tmp_path):
            found[place] = value
    with process_pool(1) as executor:
        found |= dict(spread(make, [[i] for i in SQUARES if i not in found], executor, folder=tmp_path))
    assert found == SQUARES
    assert not list(tmp_path.glob("*.parcel"))


def test_tasks_grow_to_a_second_and_shrink_towards_the_end(monkeypatch):
    monkeypatch.setattr(spreading, "work", lambda parcel, places, contents: Done([0] * len(places), len(places) * 0.1))
    executor = Recording()
    list(spread(squares, [[i] for i in range(200)], executor))
    sizes = [len(places) for _, places, _ in executor.sent]
    assert sizes[0] == 1 and max(sizes) == 10 and sizes[-1] == 1


class Busy(Executor):
    """Takes tasks and never begins them: all workers are busy with other things."""

    helps, workers = True, 3

    def submit(self, fn, /, *args, **kwargs):
        return Future()


def test_a_task_that_spreads_its_own_places_never_waits_for_others():
    """Else two stages on all workers of a cluster would wait for each other for ever."""
    assert dict(spread(squares, GROUPS, Busy())) == SQUARES


class Begun(Executor):
    """Is in the middle of its first task, and never begins another."""

    helps, workers = True, 3

    def submit(self, fn, /, parcel, places, contents):
        future = Future()
        if places == [0]:
            future.set_running_or_notify_cancel()
            threading.Timer(0.7, future.set_result, [Done([0], 0.7)]).start()
        return future


def test_a_helper_takes_nothing_that_a_worker_is_in_the_middle_of(tmp_path):
    log = tmp_path / "log"
    assert dict(spread(partial(_logged, str(log)), [[0], [1], [2]], Begun())) == {0: 0, 1: 1, 2: 4}
    assert sorted(log.read_text().split()) == ["1", "2"]


def _logged(log):
    def at(i):
        with open(log, "a") as stream:
            stream.write(f"{i}\n")
        return i * i

    return at


def test_tasks_in_threads_of_one_process_take_turns():
    """Two parcels: what torch has one of, such as its generator, is used by one task at a time."""
    with ThreadPoolExecutor(4) as executor, ThreadPoolExecutor(1) as other:
        second = other.submit(lambda: list(spread(partial(_drawn, 1), GROUPS, executor)))
        first = dict(spread(partial(_drawn, 0), GROUPS, executor))
        assert dict(second.result()) == {i: _draw(100 + i) for i in SQUARES}
    assert first == {i: _draw(i) for i in SQUARES}


def _drawn(which):
    return lambda i: _draw(100 * which + i)


def _draw(seed):
    with seeded(torch.device("cpu"), seed):
        found = []
        for _ in range(3):
            found.append(float(torch.rand(())))
            time.sleep(0.001)
    return found


def test_one_task_at_a_time_uses_what_was_made():
    with ThreadPoolExecutor(4) as executor:
        assert set(dict(spread(_alone, GROUPS, executor)).values()) == {1}


def _alone():
    inside = []

    def at(_):
        inside.append(1)
        time.sleep(0.002)
        count = len(inside)
        inside.pop()
        return count

    return at
