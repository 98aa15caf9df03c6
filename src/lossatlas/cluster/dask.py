"""Dask distributed as an executor: a running scheduler, a local cluster, or one that another package deploys."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from lossatlas.cluster.target import build
from lossatlas.engine.executors import TaskLostError, WorkersLostError, cores

# seconds to reach a scheduler, and to wait for one that went away
PATIENCE = 10
# seconds for which a count of workers is good: each is a question to the scheduler
FRESH = 1.0
# Dask's own habits cost a plane on two cores a third of its speed: freed memory goes back to the system at once, so
# each layer's output is cleared anew (these are the values that glibc comes to by itself), and tasks and event loops
# are looked at a hundred times a second
CALM: Mapping[str, Any] = {
    "distributed": {
        "nanny": {
            "pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": 64 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20},
        },
        "worker": {"profile": {"enabled": False}},
        "admin": {
            "tick": {"interval": "1s"},
            "system-monitor": {"interval": "10s", "gil": {"enabled": False}},
        },
    }
}


class DaskExecutor(Executor):
    """Runs tasks on the workers of a Dask cluster.

    A task whose worker dies is run on another one by the scheduler, so tasks may run more than once. Where the
    scheduler itself goes away, futures raise `WorkersLostError`.

    Args:
        client: of the cluster; closed with the executor.
        cluster: closed with the executor, if there is one.
        resources: what every task takes of its worker, such as `{"GPU": 1}`.
        priority: tasks of higher priority go first.
        helps: see `spread`: whoever hands out tasks computes too.
    """

    def __init__(
        self,
        client: Any,
        *,
        cluster: Any = None,
        resources: Mapping[str, float] | None = None,
        priority: int = 0,
        helps: bool = False,
    ) -> None:
        """See the class."""
        from distributed.cfexecutor import ClientExecutor

        self._client, self._cluster, self.helps = client, cluster, helps
        self._resources = dict(resources or {})
        self._options = {"priority": priority, "resources": dict(resources) if resources else None}
        self._inner = ClientExecutor(client, pure=False)
        self._address = client.scheduler.address
        self._keys: WeakKeyDictionary[Future[Any], str] = WeakKeyDictionary()  # Dask's names of our tasks
        self._count, self._counted = 1, -FRESH

    @property
    def workers(self) -> int:
        """How many tasks run at once, a moment ago; at least 1, as workers may still come."""
        if time.monotonic() - self._counted >= FRESH:
            with suppress(OSError, RuntimeError, AttributeError):
                found = _workers(self._client).values()
                self._count = max(1, sum(_places(worker, self._resources) for worker in found))
            self._counted = time.monotonic()
        return self._count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a task to the cluster."""
        told: Future[Any] = Future()
        key = f"{getattr(fn, '__name__', 'task')}-{uuid4().hex}"
        with self._reached():
            running = self._inner.submit(fn, *args, key=key, **self._options, **kwargs)

        def tell(ended: Future[Any]) -> None:
            if told.cancelled() or not told.set_running_or_notify_cancel():
                return
            error = self._gone() if ended.cancelled() else ended.exception()
            if error is None:
                told.set_result(ended.result())
            else:
                told.set_exception(_killed(error))

        def drop(ended: Future[Any]) -> None:
            if ended.cancelled():
                running.cancel()

        told.add_done_callback(drop)
        running.add_done_callback(tell)
        self._keys[told] = key
        return told

    def share(self, contents: bytes) -> Any:
        """Return what stands for some bytes in the arguments of a task: a worker gets them with its first, and once."""
        if self.helps:  # a task might be given to this worker, which is busy
            from distributed import get_worker

            with self._reached():
                return self._client.scatter(contents, workers=[get_worker().address], hash=False)
        with self._reached(), warnings.catch_warnings():  # of something large
            warnings.simplefilter("ignore")
            # a task, and not only data: so the scheduler makes it anew where the worker that has it dies
            return self._client.submit(_same, contents, pure=False, priority=1)

    def begun(self, futures: Collection[Future[Any]]) -> set[Future[Any]]:
        """Return those that a worker is in the middle of, or has finished; none if the workers cannot be asked."""
        keys = {self._keys[future]: future for future in futures}
        with suppress(OSError, RuntimeError, KeyError, AttributeError):
            inside = {key for stacks in self._client.call_stack(keys=list(keys)).values() for key in stacks}
            return {keys[key] for key in keys if key in inside or self._client.futures[key].status != "pending"}
        return set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the client, and the cluster if it was started for this executor."""
        here = self._client.status == "running"
        with suppress(Exception):  # of a scheduler that is gone
            self._inner.shutdown(wait=wait and here and not cancel_futures)
        with suppress(Exception):
            self._client.close(timeout=PATIENCE if here else 0)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say that the scheduler is gone where that is why something fails."""
        try:
            yield
        except Exception as error:
            if self._client.status == "running":
                raise
            raise self._gone() from error

    def _gone(self) -> WorkersLostError:
        return WorkersLostError(f"the Dask scheduler {self._address} is gone")


def _killed(error: BaseException) -> BaseException:
    """Return an error of a task, in our words where all workers that tried it died."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return TaskLostError("every worker that tried it died (for want of memory?)")
    return error


def open_dask(
    *,
    address: str | None = None,
    cluster: Mapping[str, Any] | None = None,
    workers: int | None = None,
    resources: Mapping[str, float] | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> DaskExecutor:
    """Return an executor on a Dask cluster, once it has a worker.

    Args:
        address: of a running scheduler, such as `tcp://host:8786`.
        cluster: class and options of a cluster to deploy, see `target.build`; without it and `address` a local
            one of single-threaded processes.
        workers: of the cluster that is deployed; locally one per core if absent.
        resources: what every task takes of its worker; workers of a local cluster offer as much.
        say: told when workers are waited for.

    Raises:
        ValueError: Dask or the class is not installed, or no worker offers the resources.
        OSError: no scheduler at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ValueError(
            f"executor.kind = 'dask' needs the module {error.name!r}, which is not installed; "
            'run `pip install "lossatlas[cluster]"`'
        ) from error
    _quiet()
    _calm()
    made: Any = None
    if cluster is not None:
        made = build(cluster, key="executor.cluster")
        if workers is not None:
            made.scale(workers)
    elif address is None:
        # the process that counts semaphores tells of those that a killed worker left; it cleans them up anyway
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")
        made = LocalCluster(
            n_workers=cores() if workers is None else workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any port: several clusters of one machine
            memory_limit=0,  # the system's, as of other processes
            resources=dict(resources) if resources else None,
            silence_logs=logging.CRITICAL,
        )
    try:
        client: Any = Client(address if made is None else made, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(f"executor.address = {address!r}: no Dask scheduler answers there ({error})") from error
    executor = DaskExecutor(client, cluster=made, resources=resources)
    try:
        if not client.nthreads():
            say(f"waiting for the first worker of {client.scheduler.address}")
            client.wait_for_workers(1)
        _require(client, resources or {})
    except BaseException:
        executor.shutdown(wait=False)
        raise
    return executor


def _quiet() -> None:
    """Keep the client's own accounts of lost connections from the terminal: what matters is told in one line."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    for name in ("distributed", "tornado", "tornado.application", *names):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@cache
def _calm() -> None:
    """Make our defaults Dask's in this process, as it starts workers in the place of dead ones; the user's own stay."""
    from dask import config

    config.update_defaults(CALM)


def _same(contents: bytes) -> bytes:
    return contents


def _workers(client: Any) -> dict[str, Any]:
    """Return what the scheduler knows of each worker, by its address."""
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _places(worker: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    """Return how many tasks that take these resources a worker computes at once."""
    has = worker.get("resources", {})
    return int(min([worker["nthreads"], *(has.get(name, 0) // amount for name, amount in resources.items())]))


def _require(client: Any, resources: Mapping[str, float]) -> None:
    """Refuse workers with threads, and resources that no worker offers: their tasks would wait for ever."""
    workers = _workers(client)
    for address, worker in workers.items():
        if worker["nthreads"] != 1:
            raise ValueError(
                f"the Dask worker {address} has {worker['nthreads']} threads; allowed: 1, as tasks in one process take "
                "turns; start workers with --nthreads 1 (in executor.cluster: threads_per_worker or cores = 1)"
            )
    if not any(_places(worker, resources) for worker in workers.values()):
        wanted = " ".join(f"{name}={amount:g}" for name, amount in resources.items())
        raise ValueError(
            f"executor.resources = {dict(resources)}: no worker of the cluster offers that; "
            f'start them with --resources "{wanted}", or set executor.resources=null'
        )


def on_worker(resources: Mapping[str, float] | None = None) -> DaskExecutor | None:
    """Return an executor for the tasks of a task that runs on a Dask worker itself; None elsewhere.

    Its tasks come after all others, so that they only take workers which have nothing else to do. None also where other
    tasks share this process, as they take turns: this one would wait for them, and they for it.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import get_client, get_worker

    try:
        here = get_worker()
    except ValueError:
        return None
    if here.state.nthreads != 1 or here.address.startswith("inproc:"):
        return None
    return DaskExecutor(get_client(), resources=resources, priority=-1, helps=True)
