"""Dask clusters on this machine: the same arrays as in one process, whatever happens to workers."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client

import lossatlas
from cluster.cases import Mortal, examples, network
from fault_cases import until
from lossatlas.cluster import dask as module
from lossatlas.cluster.dask import DaskExecutor, on_worker, open_dask
from lossatlas.cluster.target import build
from lossatlas.engine import spreading
from lossatlas.engine.executors import TaskLostError, WorkersLostError
from lossatlas.engine.spreading import spread
from lossatlas.ensembles.predictions import predict
from lossatlas.landscape.curves import Curve

LOCAL = {"_target_": "distributed.LocalCluster", "n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1",
         "dashboard_address": "127.0.0.1:0", "memory_limit": 0}  # fmt: skip


def arrays(executor):
    """The bytes of everything that can be spread, by name."""
    model, other, train, test = network(), network(1), examples(), examples(24, 1)
    axis = np.linspace(-1, 1, 4)
    axes = tuple(lossatlas.random_direction(model.state_dict(), seed=0, stream=f"direction_{a}") for a in "xy")
    curve = Curve("chain", tuple({n: p.detach() for n, p in m.named_parameters()} for m in (model, other)))
    states = [m.state_dict() for m in (model, other, network(2))]
    sampling = lossatlas.Sampling(rtol=0.5, atol=0.5, pilot_images=16, pilots=2, steps=(2,))
    plane = lossatlas.plane(model, train, test, x=axis, y=axis[:3], executor=executor)
    line = lossatlas.line(model, train, alpha=axis, executor=executor)
    hessian = lossatlas.hessian_map(
        model, train, directions=axes, x=axis[:2], y=axis[:2], max_products=12, executor=executor
    )
    profile = lossatlas.profile(model, train, alpha=axis, repeats=3, executor=executor)
    along = lossatlas.curve_losses(model, curve, train, test, t=[0, 0.3, 1], executor=executor)
    sampled = lossatlas.plane(model, examples(200), x=axis, y=axis, sampling=sampling, executor=executor)
    through = lossatlas.plane_through(model, states, train, points_per_axis=3, executor=executor)
    members = predict(model, states, *test, executor=executor)
    return {
        "plane": plane.train_loss.tobytes() + plane.test_accuracy.tobytes(),
        "line": line.train_loss.tobytes(),
        "hessian": hessian.lambda_max.tobytes() + hessian.lambda_min.tobytes() + hessian.products.tobytes(),
        "profile": profile.train_loss.tobytes() + profile.curvature.tobytes(),
        "curve": along.train_loss.tobytes() + along.test_loss.tobytes(),
        "sampled": sampled.train_loss.tobytes() + sampled.train_n.tobytes(),
        "through": through.plane.train_loss.tobytes(),
        "members": members.tobytes(),
    }


@pytest.fixture(scope="module")
def pair():
    with open_dask(workers=2) as executor:
        yield executor


def test_the_same_arrays_for_1_2_and_5_workers_and_in_this_process():
    """The cluster is of a class that settings name."""
    here = arrays(None)
    with open_dask(cluster=LOCAL) as executor:
        for workers in (1, 2, 5):
            executor._cluster.scale(workers)
            executor._client.wait_for_workers(workers)
            until(lambda count=workers: executor.workers == count)
            assert arrays(executor) == here, workers


def test_a_worker_killed_in_mid_plane_is_replaced_and_the_bytes_are_the_same(pair, tmp_path):
    model, mark = Mortal(tmp_path / "killed", 30), tmp_path / "killed"
    grid = {"x": np.linspace(-1, 1, 8), "y": np.linspace(-1, 1, 8)}
    whole = lossatlas.plane(model, examples(), **grid)
    spread_out = lossatlas.plane(model, examples(), journal=tmp_path / "points.jsonl", executor=pair, **grid)
    assert mark.exists()
    assert spread_out.train_loss.tobytes() == whole.train_loss.tobytes()
    assert len((tmp_path / "points.jsonl").read_text().splitlines()) == 1 + 64


def _dies():
    return lambda _: os.kill(os.getpid(), signal.SIGKILL)


def pages_cleared():
    """How many pages the system clears for 20 blocks of 8 MiB, each freed before the next."""
    import resource

    import torch

    def cleared():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.zeros(2**21).add_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    cleared()  # the heap grows to what is needed
    return cleared()


@pytest.mark.skipif(sys.platform != "linux", reason="the variables are glibc's")
def test_workers_keep_freed_memory_and_are_not_looked_at_all_the_time(pair):
    # 40,960 pages, or 80 huge ones, if the memory went back to the system each time
    assert pair.submit(pages_cleared).result() < 20
    assert pair.submit(os.environ.get, "MALLOC_TRIM_THRESHOLD_").result() == str(64 * 2**20)
    assert pair.submit(dask.config.get, "distributed.worker.profile.enabled").result() is False


def test_a_task_that_kills_every_worker_is_given_up_and_the_others_go_on(pair, monkeypatch):
    monkeypatch.setattr(pair._cluster.scheduler, "allowed_failures", 0)  # each death takes seconds
    with pytest.raises(TaskLostError, match="every worker that tried it died"):
        list(spread(_dies, [[0]], pair))
    assert pair.submit(pow, 2, 5).result(60) == 32


def test_an_error_of_a_task_arrives_as_itself(pair):
    with pytest.raises(ValueError, match="invalid literal for int"):
        pair.submit(int, "x").result(60)


def _overlap(log, number, seconds=0.1):
    """Write the times of a task's begin and end."""
    begin = time.time()
    time.sleep(seconds)
    with open(log, "a") as stream:
        stream.write(f"{begin} {time.time()}\n")
    return number


def test_a_gpu_has_one_task_at_a_time(tmp_path):
    """The worker has two threads, and one GPU, as far as Dask knows."""
    cluster = build({**LOCAL, "threads_per_worker": 2, "resources": {"GPU": 1}}, key="cluster")
    log = str(tmp_path / "log")
    with DaskExecutor(Client(cluster, set_as_default=False), cluster=cluster, resources={"GPU": 1}) as executor:
        assert executor.workers == 1
        assert sorted(executor.map(partial(_overlap, log), range(6))) == list(range(6))
    times = sorted(tuple(map(float, line.split())) for line in Path(log).read_text().splitlines())
    assert all(first[1] <= second[0] for first, second in zip(times, times[1:], strict=False))


def test_workers_with_threads_are_refused():
    with pytest.raises(ValueError, match=r"the Dask worker tcp://.* has 2 threads; allowed: 1, .*--nthreads 1") as told:
        open_dask(cluster={**LOCAL, "threads_per_worker": 2})
    assert "\n" not in str(told.value)


class Told:
    """What a scheduler says of its workers; counts the questions."""

    def __init__(self, *workers):
        self.known, self.asked = {str(i): worker for i, worker in enumerate(workers)}, 0
        self.scheduler, self.status = self, "running"
        self.address = "tcp://here:1"

    def scheduler_info(self, n_workers):
        self.asked += 1
        return {"workers": self.known}


def test_only_workers_that_offer_the_resources_are_counted_and_not_at_every_task():
    workers = [{"nthreads": 1, "resources": {"GPU": 1}}] * 2 + [
        {"nthreads": 1},
        {"nthreads": 4, "resources": {"GPU": 2}},
    ]
    client = Told(*workers)
    executor = DaskExecutor(client, resources={"GPU": 1})
    assert [executor.workers for _ in range(5)] == [4] * 5 and client.asked == 1
    assert DaskExecutor(client).workers == 7
    assert DaskExecutor(Told()).workers == 1
    executor._counted -= module.FRESH
    client.known = {}
    assert executor.workers == 1


def _made(_contents):
    return lambda i: i * i


def test_contents_travel_once_to_each_worker_that_does_not_see_the_file(pair, monkeypatch):
    monkeypatch.setattr(spreading, "write_bytes", lambda path, contents: None)
    sent, tasks = [], []
    submit, share = pair.submit, pair.share
    monkeypatch.setattr(pair, "submit", lambda *task: tasks.append(task) or submit(*task))
    monkeypatch.setattr(pair, "share", lambda contents: sent.append(share(contents)) or sent[0])
    pair._client.wait_for_workers(2)
    assert dict(spread(partial(_made, os.urandom(1 << 16)), [[i] for i in range(40)], pair)) == {
        i: i * i for i in range(40)
    }
    assert len(sent) == 1 and not any(isinstance(task[-1], bytes) for task in tasks)
    key = sent[0].key
    got = pair._client.run(lambda dask_worker: sum(key in one["keys"] for one in dask_worker.transfer_incoming_log))
    assert len(got) == 2 and max(got.values()) <= 1


def _slow(log):
    def at(i):
        with open(log, "a") as stream:
            stream.write(f"{i} {os.getpid()}\n")
        time.sleep(1)
        return i

    return at


def _with_help(log):
    return sorted(dict(spread(partial(_slow, log), [[0], [1]], on_worker())))


def test_a_stage_and_a_worker_share_its_points_and_none_is_begun_twice(pair, tmp_path):
    log = tmp_path / "log"
    pair._client.wait_for_workers(2)
    assert pair.submit(_with_help, str(log)).result(60) == [0, 1]
    places, processes = zip(*map(str.split, log.read_text().splitlines()), strict=True)
    assert sorted(places) == ["0", "1"] and len(set(processes)) == 2


def test_what_a_worker_is_in_the_middle_of_is_known(pair, tmp_path):
    begin = tmp_path / "log"
    tasks = [pair.submit(_overlap, str(begin), i, 2.0) for i in range(6)]
    until(lambda: len(pair.begun(tasks)) >= 2)
    assert len(pair.begun(tasks)) < 6
    for task in tasks:
        task.cancel()


def test_resources_that_no_worker_offers_are_refused():
    with pytest.raises(ValueError, match='no worker of the cluster offers that; start them with --resources "GPU=1"'):
        open_dask(cluster=LOCAL, resources={"GPU": 1})


def test_an_address_where_nobody_answers_is_one_line(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(ConnectionError, match=r"executor.address = 'tcp://127.0.0.1:9': no Dask scheduler answers"):
        open_dask(address="tcp://127.0.0.1:9")


def test_nothing_is_computed_after_the_end():
    executor = open_dask(workers=1)
    executor.shutdown()
    for hand in (lambda: executor.submit(pow, 2, 3), lambda: executor.share(b"contents")):
        with pytest.raises(WorkersLostError, match=r"the Dask scheduler tcp://.* is gone"):
            hand()
