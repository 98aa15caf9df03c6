"""Curves of a training in MLflow while it runs; whatever fails there, the training goes on."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossatlas.tracking.connection import connect
from lossatlas.tracking.errors import TrackingError, explained
from lossatlas.tracking.names import TAG, flatten, identity, scalars
from lossatlas.tracking.session import Session

ENDS = {"finished": "FINISHED", "diverged": "FINISHED", "killed": "KILLED"}


class LiveCurves:
    """Logs the epochs of one training to its run in MLflow from a daemon thread.

    The thread imports MLflow, finds or creates the run that `track` will complete later, and logs rows as they come,
    except those logged before a kill. A failure is one line on stderr.
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
        self._rows: queue.SimpleQueue[Mapping[str, float] | str] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"live {self.label}", daemon=True)
        self._thread.start()

    def on_epoch(self, row: Mapping[str, float]) -> None:
        """Log a row: `epoch` and the values of that epoch."""
        if not self._closed.is_set():
            self._rows.put(dict(row))

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
        try:
            with explained(self._place["uri"]):
                self._log()
        except Exception as error:  # never into the training
            if not self._abandoned.is_set():
                self._warn(str(error) if isinstance(error, TrackingError) else repr(error))

    def _log(self) -> None:
        session = connect(self._place["uri"], **{k: v for k, v in self._place.items() if k != "uri"})
        run_id, there = self._open(session)
        status = None
        while status is None and not self._abandoned.is_set():
            rows = [self._rows.get()]
            while not self._rows.empty():
                rows.append(self._rows.get())
            status = next((row for row in rows if isinstance(row, str)), None)
            points = []
            for row in rows:
                if isinstance(row, str):
                    continue
                step = int(row["epoch"])
                new = {k: v for k, v in scalars(row).items() if k != "epoch" and step not in there.setdefault(k, set())}
                points += [(k, v, step) for k, v in new.items()]
                for k in new:
                    there[k].add(step)
            session.log(run_id, metrics=points)
        if status is not None and not self._abandoned.is_set():
            session.log(run_id, tags={f"{TAG}status": status})
            session.end(run_id, ENDS.get(status, "FAILED"))

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
        text = f"warning: live curves of {self.label} stopped: {why}; the training goes on, track adds the rest\n"
        sys.stderr.write(text)
