"""Curves of a training in MLflow while it runs; whatever fails there, the training goes on."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossatlas.tracking.connection import connect
from lossatlas.tracking.errors import TrackingError, explained
from lossatlas.tracking.names import TAG, flatten, identity, scalars
from lossatlas.tracking.session import Point, Session

ENDS = {"finished": "FINISHED", "diverged": "FINISHED", "killed": "KILLED"}
RETRY = 10.0  # seconds between attempts to reach a server or database that is away


class LiveCurves:
    """Logs the epochs of one training to its run in MLflow from a daemon thread.

    The thread imports MLflow, finds or creates the run that `track` will complete later, and logs rows as they come,
    except those logged before a kill. A failure is one line on stderr. While a server or database is away the rows are
    kept, and logged when it is back.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        preset: str,
        stage_hash: str,
        *,
        uri: str,
        experiment: str,
        artifact_root: Path,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        delay: float = 3.0,
        grace: float = 5.0,
    ) -> None:
        """Start the thread.

        Args:
            kind: the stage's kind, `train`.
            name: the stage's name.
            preset: the preset's name.
            stage_hash: the hash its published result will have.
            uri: an MLflow tracking URI; the database is created where it is missing.
            experiment: the experiment's name.
            artifact_root: folder of the artifacts of a new experiment.
            params: the stage's settings.
            tags: further tags of the run.
            delay: seconds before the thread does anything; a training that ends sooner is left to `track`.
            grace: the longest that `close` waits, in seconds.
        """
        self.label = f"{kind}/{name}"
        self._grace = grace
        self._delay = delay
        self._place: dict[str, Any] = {"uri": uri, "experiment": experiment, "artifact_root": artifact_root}
        self._params = flatten(params or {})
        self._tags = identity(kind, name, preset, stage_hash) | dict(tags or {}) | {f"{TAG}status": "running"}
        self._rows: queue.SimpleQueue[tuple[Mapping[str, float], int] | str] = queue.SimpleQueue()
        self._waiting: list[tuple[Mapping[str, float], int]] = []  # rows with their times, not logged yet
        self._status: str | None = None
        self._away = False
        self._closed = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"live {self.label}", daemon=True)
        self._thread.start()

    def on_epoch(self, row: Mapping[str, float]) -> None:
        """Log a row: `epoch` and the values of that epoch."""
        if not self._closed.is_set():
            self._rows.put((dict(row), int(time.time() * 1000)))

    def close(self, status: str = "finished") -> None:
        """Log what is left and end the run, within `grace` seconds.

        Args:
            status: `finished`, `diverged`, `killed`; anything else ends the run as failed.
        """
        if self._closed.is_set():
            return
        self._rows.put(status)
        self._closed.set()
        self._thread.join(self._grace)
        if self._thread.is_alive():
            self._abandoned.set()
            self._warn(f"not done {self._grace:g} s after the last epoch")

    def _run(self) -> None:
        if self._closed.wait(self._delay):
            return
        while not self._abandoned.is_set():
            last = self._closed.is_set()  # the last attempt begins when nothing more comes
            try:
                with explained(self._place["uri"]):
                    self._log()
                return
            except Exception as error:  # never into the training
                if not self._abandoned.is_set():
                    self._warn(str(error) if isinstance(error, TrackingError) else repr(error))
                # what MLflow cannot reach may come back; what is wrong with the settings or a row stays
                if last or not isinstance(error, TrackingError) or error.__cause__ is None:
                    return
            self._closed.wait(RETRY)

    def _log(self) -> None:
        session = connect(self._place["uri"], **{k: v for k, v in self._place.items() if k != "uri"})
        run_id, there = self._open(session)
        if self._away:
            self._away = False
            sys.stderr.write(f"live curves of {self.label} go on\n")
        while not self._abandoned.is_set():
            points = [point for row, at in self._waiting for point in _points(row, at)]
            points = [point for point in points if point.step not in there.setdefault(point.key, set())]
            session.log(run_id, metrics=points)
            for point in points:
                there[point.key].add(point.step)
            self._waiting.clear()
            if self._status is not None:
                session.log(run_id, tags={f"{TAG}status": self._status})
                session.end(run_id, ENDS.get(self._status, "FAILED"))
                return
            self._take()

    def _take(self) -> None:
        """Wait for a row or the end, and take all that is there."""
        found = [self._rows.get()]
        while not self._rows.empty():
            found.append(self._rows.get())
        for item in found:
            if isinstance(item, str):
                self._status = item
            else:
                self._waiting.append(item)

    def _open(self, session: Session) -> tuple[str, dict[str, set[int]]]:
        """Find or create the run; return it with the steps it has of each metric."""
        with session.alone("create"):
            found = session.runs(**{k.removeprefix(TAG): v for k, v in self._own().items()})
            run = found[0] if found else session.create(self._tags)
        run_id = run.info.run_id
        if run.info.status != "RUNNING":
            session.resume(run_id)
        tags = {k: v for k, v in self._tags.items() if run.data.tags.get(k) != v}
        params = {k: v for k, v in self._params.items() if k not in run.data.params}
        session.log(run_id, params=params, tags=tags)
        return run_id, {key: session.steps(run_id, key) for key in run.data.metrics}

    def _own(self) -> dict[str, str]:
        return {key: self._tags[key] for key in (f"{TAG}{word}" for word in ("kind", "name", "preset", "stage_hash"))}

    def _warn(self, why: str) -> None:
        """Say once that nothing is logged, until it is again."""
        if not self._away:
            self._away = True
            text = f"warning: live curves of {self.label} stopped: {why}; the training goes on, track adds the rest\n"
            sys.stderr.write(text)


def _points(row: Mapping[str, float], at: int) -> list[Point]:
    """Return the finite values of an epoch."""
    step = int(row["epoch"])
    return [Point(key, value, step, at) for key, value in scalars(row).items() if key != "epoch"]
