"""Records to MLflow: a second call adds nothing, a half-logged run is completed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.files import canonical_json, sha256_file, sha256_json
from lossatlas.tracking.connection import connect
from lossatlas.tracking.errors import explained
from lossatlas.tracking.names import COMMIT, CONTENT, SUPERSEDED, TAG
from lossatlas.tracking.records import SECONDS, Record
from lossatlas.tracking.session import Point, Session

if TYPE_CHECKING:
    from lossatlas.results import History

CURVES = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")
MOST_STEPS = 1000


@dataclass(frozen=True)
class Summary:
    """What `track` did, as `kind/name` of each record."""

    created: tuple[str, ...] = ()
    completed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the counts as one line."""
        counts = {"created": self.created, "completed": self.completed, "unchanged": self.unchanged}
        return ", ".join(f"{len(names)} {word}" for word, names in counts.items())


def track(records: Iterable[Record], *, uri: str, experiment: str, artifact_root: Path) -> Summary:
    """Log records to an MLflow experiment; what is there already stays as it is.

    A run is identified by the tags `lossatlas.kind`, `.name`, `.preset` and `.stage_hash`. Runs of the same stage with
    another hash get the tag `lossatlas.superseded`.

    Args:
        records: what `collect` read.
        uri: an MLflow tracking URI; the database is created where it is missing.
        experiment: the experiment's name.
        artifact_root: folder of the artifacts, unless a server at an http URI keeps them.

    Raises:
        TrackingError: the server or database cannot be used.
    """
    done: dict[str, list[str]] = {"created": [], "completed": [], "unchanged": []}
    with explained(uri):
        session = connect(uri, experiment=experiment, artifact_root=artifact_root)
        with session.alone("track"):
            runs: dict[str, list[Any]] = {}
            for record in records:
                if record.preset not in runs:
                    runs[record.preset] = session.runs(preset=record.preset)
                done[_one(session, record, runs[record.preset])].append(f"{record.kind}/{record.name}")
    return Summary(**{word: tuple(names) for word, names in done.items()})


def _one(session: Session, record: Record, runs: list[Any]) -> str:
    same = [run for run in runs if _is(run, kind=record.kind, name=record.name)]
    found = next((run for run in same if _is(run, stage_hash=record.stage_hash)), None)
    for run in same:
        if not _is(run, stage_hash=record.stage_hash):
            _supersede(session, run)
    if found is not None:
        return "completed" if _fill(session, found, record) else "unchanged"
    start, _ = _times(record)
    created = session.create(record.tags, start)
    runs.append(created)
    _fill(session, created, record)
    return "created"


def _is(run: Any, **tags: str) -> bool:
    return all(run.data.tags.get(f"{TAG}{name}") == value for name, value in tags.items())


def _fill(session: Session, run: Any, record: Record) -> bool:
    """Add to a run what it lacks and end it; return whether anything was missing."""
    run_id = run.info.run_id
    params = {k: v for k, v in record.params.items() if k not in run.data.params}
    there_already = run.data.tags
    # the commit of the first logging stays: a checkout moves on while its results do not change
    tags = {
        k: v for k, v in record.tags.items() if there_already.get(k) != v and (k != COMMIT or k not in there_already)
    }
    metrics = [Point(k, v, 0) for k, v in record.metrics.items() if k not in run.data.metrics]
    for name, points in _curves(record.history) if record.history is not None else ():
        there = session.steps(run_id, name) if name in run.data.metrics else set()
        metrics += [Point(name, value, step) for step, value in points.items() if step not in there]
    session.log(run_id, metrics=metrics, params=params, tags=tags)
    outdated = SUPERSEDED in run.data.tags
    if outdated:
        session.untag(run_id, SUPERSEDED)
    uploaded = _upload(session, run, record.artifacts)
    ended = run.info.status == "FINISHED"
    if not ended:
        session.end(run_id, "FINISHED", _times(record)[1])
    return bool(params or tags or metrics or outdated or uploaded or not ended)


def _supersede(session: Session, run: Any) -> None:
    if SUPERSEDED not in run.data.tags:
        session.log(run.info.run_id, tags={SUPERSEDED: "true"})
    if run.info.status == "RUNNING":
        session.end(run.info.run_id, "KILLED")


def _curves(history: History) -> Iterator[tuple[str, Mapping[int, float]]]:
    """Yield each curve's name and its finite values by step."""
    import numpy as np

    epochs = history.epoch
    for name in CURVES:
        yield name, _finite(epochs, getattr(history, name))
    n = len(history.step)
    kept = np.unique(np.linspace(0, n - 1, min(n, MOST_STEPS)).round().astype(int))
    yield "step_weight_norm", _finite(history.step[kept], history.step_weight_norm[kept])


def _finite(steps: Any, values: Any) -> dict[int, float]:
    import numpy as np

    return {int(step): float(value) for step, value in zip(steps, values, strict=True) if np.isfinite(value)}


def _upload(session: Session, run: Any, artifacts: Iterable[tuple[Path, str]]) -> int:
    """Copy the files that are not there in full, or whose folder has other content there; return their number.

    A tag tells what is there: a hash of names and contents for each folder at the top, and for the files beside them.
    """
    there, told = session.files(run.info.run_id), run.data.tags.get(CONTENT)
    folders = _by_folder(artifacts)
    hashes = {
        top: sha256_json({name: sha256_file(path) for name, path in files.items()})[:32]
        for top, files in folders.items()
    }
    known = _known(told)
    lacking = [
        (path, name)
        for top, files in folders.items()
        for name, path in files.items()
        if known.get(top) != hashes[top] or there.get(name) != path.stat().st_size
    ]
    text = canonical_json(hashes)
    if told not in (None, text):  # a kill from here to the end leaves no tag, and all is copied again
        session.untag(run.info.run_id, CONTENT)
    for path, name in lacking:
        session.upload(run.info.run_id, path, name.rpartition("/")[0])
    if told != text:
        session.log(run.info.run_id, tags={CONTENT: text})
    return len(lacking)


def _by_folder(artifacts: Iterable[tuple[Path, str]]) -> dict[str, dict[str, Path]]:
    """Return the files by the first folder of their artifact paths ("" is none), and by those paths."""
    found: dict[str, dict[str, Path]] = {}
    for path, folder in artifacts:
        found.setdefault(folder.partition("/")[0], {})[f"{folder}/{path.name}" if folder else path.name] = path
    return found


def _known(told: str | None) -> dict[str, str]:
    """Return the hashes of a tag; one that somebody else changed tells nothing."""
    try:
        found = json.loads(told or "{}")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _times(record: Record) -> tuple[int | None, int | None]:
    """Return when the stage started and ended, in milliseconds, where its side file tells."""
    finished = record.tags.get(f"{TAG}finished_at")
    if finished is None:
        return None, None
    end = datetime.fromisoformat(finished).timestamp()
    return int(1000 * (end - record.metrics.get(SECONDS, 0.0))), int(1000 * end)
