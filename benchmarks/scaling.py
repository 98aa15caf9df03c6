"""A plane spread over Dask workers of this machine: efficiency, bytes that travel, and the limits of the one writer."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cases
import lossatlas
from lossatlas.cluster.dask import DaskExecutor, open_dask
from lossatlas.engine import spreading
from lossatlas.engine.executors import InlineExecutor
from lossatlas.engine.parcels import packed
from lossatlas.engine.spreading import CHUNK_SECONDS, spread
from lossatlas.landscape.journal import Journal, empty_values
from lossatlas.results import VALUES
from options import Options
from pairing import quotients
from pairing import spread as spread_of

_HERE = 2  # rounds in which the plane is computed in this process too


def measure(options: Options) -> dict[str, Any]:
    """Return efficiency, bytes and limits, and what follows from them for more workers."""
    sizes = options.sizes
    model = cases.network(sizes["network"])
    images = cases.images(options.folder, sizes["images"])
    data, axes = images.normalized(), cases.axes(model)
    plane = partial(lossatlas.plane, model, data, directions=axes, batch_size=128)
    found = _times(plane, options)
    traffic = _traffic(partial(plane, **_grid(sizes["counted_points"])), sizes["counted_points"] ** 2)
    limits = {**_writer(sizes), **_tasks(sizes)}
    return {
        "network": sizes["network"],
        "images": sizes["images"],
        "source": images.source,
        "points": sizes["points"] ** 2,
        "paper_points": sizes["paper_points"] ** 2,
        **found,
        "traffic": traffic,
        "limits": limits,
        "derived": derived(traffic, limits, sizes),
    }


def _grid(points: int) -> dict[str, Any]:
    axis = np.linspace(-1, 1, points)
    return {"x": axis, "y": axis}


def _times(plane: Any, options: Options) -> dict[str, Any]:
    """Return how long the same plane takes on 1 and on several workers, in turn; all of them are warm."""
    grid, warm = _grid(options.sizes["points"]), _grid(options.sizes["warm_points"])
    kept: dict[int, list[float]] = {count: [] for count in options.sizes["workers"]}
    losses, here = set(), []
    pools = {count: open_dask(workers=count) for count in kept}
    try:
        for pool in pools.values():
            plane(**warm, executor=pool)
        for turn in range(options.rounds):
            if turn < _HERE:
                begin = time.perf_counter()
                losses.add(plane(**grid, executor=InlineExecutor()).train_loss.tobytes())
                here.append(time.perf_counter() - begin)
            for count, pool in pools.items():
                begin = time.perf_counter()
                losses.add(plane(**grid, executor=pool).train_loss.tobytes())
                kept[count].append(time.perf_counter() - begin)
            options.say(f"round {turn + 1}: {', '.join(f'{n}: {t[-1]:.1f} s' for n, t in kept.items())}")
    finally:
        for pool in pools.values():
            pool.shutdown()
    alone = kept[1]
    return {
        "seconds": {"this process": spread_of(here), **{f"{n} workers": spread_of(t) for n, t in kept.items()}},
        "efficiency": {
            f"{count} workers": quotients([t / count for t in alone], times)
            for count, times in kept.items()
            if count > 1
        },
        "one_worker_beside_this_process": quotients(here, alone[: len(here)]),
        "same_bytes": len(losses) == 1,
    }


class _Counting(InlineExecutor):
    """Counts the bytes of tasks and results as they would travel."""

    def __init__(self) -> None:
        self.tasks, self.sent, self.returned = 0, 0, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future = super().submit(fn, *args, **kwargs)
        self.tasks += 1
        self.sent += len(pickle.dumps((fn, args)))
        self.returned += len(pickle.dumps(future.result()))
        return future


def _traffic(plane: Any, points: int) -> dict[str, Any]:
    """Return the bytes that a worker reads once, and those that travel with tasks and results."""
    counting, sizes = _Counting(), []

    def noted(make: Any) -> bytes:
        sizes.append(len(contents := packed(make)))
        return contents

    before, spreading.packed = spreading.packed, noted
    try:
        plane(executor=counting)
    finally:
        spreading.packed = before
    return {
        "bytes_per_worker_once": sizes[0],
        "bytes_per_task": counting.sent // counting.tasks,
        "bytes_per_point_with_tasks": (counting.sent + counting.returned) / points,
        "points": points,
        "tasks": counting.tasks,
    }


def _nothing() -> Any:
    return lambda i: dict.fromkeys(VALUES, float(i))


def _writer(sizes: Any) -> dict[str, Any]:
    """Return how many points per second the journal takes, forced to the disk in batches, and how many tasks."""
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=cases.ROOT) as folder:
        for batch in sizes["batches"]:
            book, values = Journal(Path(folder, f"{batch}.jsonl"), "bench"), empty_values(VALUES, batch)
            rates[str(batch)] = _rate(lambda book=book, batch=batch, values=values: book.append(range(batch), values),
                                      batch, sizes["seconds"])  # fmt: skip
    groups: Sequence[Sequence[int]] = [[i] for i in range(sizes["trivial_points"])]
    begin = time.perf_counter()
    count = sum(1 for _ in spread(_nothing, groups, InlineExecutor()))
    return {
        "journal_points_per_second_by_batch": rates,
        "received_points_per_second": count / (time.perf_counter() - begin),
    }


def _rate(act: Any, count: int, seconds: float) -> float:
    done, begin = 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds or not done:
        act()
        done += count
    return done / took


def _tasks(sizes: Any) -> dict[str, Any]:
    """Return how many tasks per second go through a scheduler that shares this machine with its workers."""
    with open_dask(workers=1) as executor:
        return {"scheduler_tasks_per_second": _through(executor, sizes["trivial_tasks"])}


def _through(executor: DaskExecutor, count: int) -> float:
    list(executor.map(abs, range(10)))
    begin = time.perf_counter()
    for future in [executor.submit(abs, i) for i in range(count)]:
        future.result()
    return count / (time.perf_counter() - begin)


def derived(traffic: dict[str, Any], limits: dict[str, Any], sizes: Any) -> dict[str, Any]:
    """Return what the measured numbers say about more workers, for several durations of a point on one worker.

    A task is as many points as take about a second, at least one. The scheduler saturates where tasks end faster than
    it hands them out, the writer where points come faster than it takes them in.
    """
    writer = min(limits["received_points_per_second"], max(limits["journal_points_per_second_by_batch"].values()))
    found: dict[str, Any] = {}
    for seconds in sizes["point_seconds"]:
        per_task = max(1, int(CHUNK_SECONDS / seconds))
        by_tasks = limits["scheduler_tasks_per_second"] * per_task * seconds
        by_points = writer * seconds
        rows: dict[str, Any] = {
            "points_per_task": per_task,
            "workers_at_the_scheduler's_limit": int(by_tasks),
            "workers_at_the_writer's_limit": int(by_points),
        }
        for workers in sizes["on_paper"]:
            points = sizes["paper_points"] ** 2
            once = traffic["bytes_per_worker_once"] * workers / points
            rows[f"{workers} workers"] = {
                "bytes_per_point": once + traffic["bytes_per_point_with_tasks"],
                "points_per_second": min(workers, by_tasks, by_points) / seconds,
                "part_of_the_writer": workers / by_points,
                "part_of_the_scheduler": workers / by_tasks,
            }
        found[f"{seconds:g} s per point"] = rows
    return found
