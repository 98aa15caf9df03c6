"""Runs of one MLflow experiment: batched requests, patient with a locked database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lossatlas.tracking.locks import Locks
from lossatlas.tracking.names import TAG

PATIENCE = 60.0  # seconds for a locked database


class Point(NamedTuple):
    """A value of a metric; a point that is logged twice with one time is one row."""

    key: str
    value: float
    step: int
    time: int | None = None  # milliseconds since 1970; None for now


@dataclass(frozen=True)
class Session:
    """One experiment on one tracking server or database."""

    client: Any
    experiment_id: str
    locks: Locks

    def runs(self, **tags: str) -> list[Any]:
        """Return the active runs with these `lossatlas.` tags, the oldest first."""
        query = " and ".join(f"tags.`{TAG}{name}` = '{value}'" for name, value in tags.items())
        found: list[Any] = []
        token = None
        while True:
            page = _patiently(
                self.client.search_runs,
                [self.experiment_id],
                query,
                max_results=1000,
                order_by=["start_time ASC"],
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found

    def create(self, tags: Mapping[str, str], start: int | None = None) -> Any:
        """Create a run with the status RUNNING."""
        name = tags["mlflow.runName"]
        return _patiently(self.client.create_run, self.experiment_id, start_time=start, tags=dict(tags), run_name=name)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics, params and tags, in as few requests as MLflow's limits allow."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [Metric(key, value, now if at is None else at, step) for key, value, step, at in metrics]
        texts = [Param(key, value) for key, value in (params or {}).items()]
        labels = [RunTag(key, value) for key, value in (tags or {}).items()]
        for limit, name, items in ((100, "params", texts), (100, "tags", labels), (1000, "metrics", points)):
            for start in range(0, len(items), limit):
                batch = {name: items[start : start + limit]}
                _patiently(self.client.log_batch, run_id, **batch)

    def steps(self, run_id: str, key: str) -> set[int]:
        """Return the steps at which a metric is there."""
        return {point.step for point in _patiently(self.client.get_metric_history, run_id, key)}

    def untag(self, run_id: str, key: str) -> None:
        """Remove a tag."""
        _patiently(self.client.delete_tag, run_id, key)

    def resume(self, run_id: str) -> None:
        """Set a run that had ended back to RUNNING."""
        _patiently(self.client.update_run, run_id, status="RUNNING")

    def end(self, run_id: str, status: str, at: int | None = None) -> None:
        """End a run."""
        _patiently(self.client.set_terminated, run_id, status=status, end_time=at)

    def files(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """Return the artifacts below a folder: path and size."""
        found: dict[str, int] = {}
        for item in _patiently(self.client.list_artifacts, run_id, folder):
            found |= self.files(run_id, item.path) if item.is_dir else {item.path: item.file_size}
        return found

    def upload(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file to the run's artifacts."""
        _patiently(self.client.log_artifact, run_id, str(path), folder or None)

    @contextmanager
    def alone(self, task: str) -> Iterator[None]:
        """Hold the lock of a task among the processes of this machine, and all clients of a PostgreSQL database."""
        with self.locks.held(task):
            yield


def _patiently(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call again while another process holds the database for longer than SQLite itself waits."""
    from mlflow.exceptions import MlflowException

    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call(*arguments, **options)
        except MlflowException as error:
            if "database is locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.2)
