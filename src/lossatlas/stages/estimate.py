"""What a command would compute, what is finished already and how long the rest takes, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lossatlas.paths import Workspace
from lossatlas.settings import Params
from lossatlas.settings.runs import DataSettings
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Key
from lossatlas.stages.workload import Counts, Work, workload

State = Literal["finished", "begun", "to do"]
_CIFAR = {"cifar10": Counts(50_000, 10_000, 32, 10), "cifar100": Counts(50_000, 10_000, 32, 100)}
_DIGITS = Counts(1_438, 359, 8, 10)


@dataclass(frozen=True)
class Estimate:
    """One stage.

    Attributes:
        key: kind and name.
        state: whether scratch has it, or a part of it.
        work: what it computes, None where that is little or not counted.
        seconds: how long that takes one thread, None where it is not counted; 0 if it is finished.
    """

    key: Key
    state: State
    work: Work | None
    seconds: float | None

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "key": " ".join(self.key)}


def estimate(
    workspace: Workspace, params: Params, keys: Iterable[Key], *, advance: Callable[[int], None] = lambda _: None
) -> list[Estimate]:
    """Return an estimate of each stage; nothing is written.

    The time per image is measured for each network that has something left to compute, on one thread and random images
    of the right size; a stage that was begun counts as a whole.

    Args:
        workspace: the checkout.
        params: its settings.
        keys: the stages.
        advance: called with 1 after each.

    Raises:
        FileNotFoundError: the images of a data set are not there.
        ValueError: the device of the settings is not there.
    """
    runner, rates, sizes = Runner(workspace, params), _Measured(params), {}
    for name, data in params.datasets.items():
        sizes[name] = data_counts(data, workspace.root)
    rates.sizes = sizes
    found = []
    for key in keys:
        state, work = _state(runner, key), workload(params, key, sizes)
        seconds = None if work is None else 0.0 if state == "finished" else rates.seconds(work)
        found.append(Estimate(key, state, work, seconds))
        advance(1)
    return found


def data_counts(data: DataSettings, root: Path) -> Counts:
    """Return the sizes of a data set from its settings; of a folder of images, by looking into it.

    Raises:
        FileNotFoundError: the folder is not there.
    """
    known = _DIGITS if data.kind == "digits" else _CIFAR.get(data.kind) or _folder_counts(root / (data.root or ""))
    return Counts(
        min(data.train or known.train, known.train), min(data.test or known.test, known.test), known.size, known.classes
    )


def _folder_counts(folder: Path) -> Counts:
    from PIL import Image

    from lossatlas.data.imagefolder import scan_imagefolder

    scanned = scan_imagefolder(folder)
    with Image.open(scanned.files["train"][0][0]) as image:
        size = image.size[0]
    return Counts(len(scanned.files["train"]), len(scanned.files["test"]), size, len(scanned.classes))


def _state(runner: Runner, key: Key) -> State:
    """Return what scratch has of a stage; without the outputs that it reads it has nothing."""
    with suppress(FileNotFoundError):
        folder = runner.scratch(key)
        return "finished" if (folder / "done.json").is_file() else "begun" if folder.is_dir() else "to do"
    return "to do"


class _Measured:
    """The rates of the networks, each measured once."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.sizes: Mapping[str, Counts] = {}
        self._rates: dict[str, Any] = {}

    def seconds(self, work: Work) -> float:
        """Return how long one thread takes."""
        from lossatlas.stages.rates import LARGEST, Rates

        run = self.params.runs[work.run]
        counts = self.sizes[run.data]
        same = (run.model.family, sorted(run.model.options.items()), min(LARGEST, run.train.batch_size))
        rates = self._rates.setdefault(f"{same} {counts.size} {counts.classes}", Rates(run, counts, self.params.device))
        parts = ("trained", "evaluated", "products")
        return float(sum(getattr(work, part) * getattr(rates, part) for part in parts if getattr(work, part)))


def duration(seconds: float) -> str:
    """Return a time for reading: `3.2 s`, `12 min`, `5.4 h`, `3.0 d`."""
    for size, unit, limit in ((1, "s", 100), (60, "min", 6000), (3600, "h", 100 * 3600)):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} d"


def table(found: Iterable[Estimate], workers: int) -> str:
    """Return the estimates for reading, a row per stage and the total."""
    rows = [("stage", "state", "points", "images", "time")]
    estimates = list(found)
    for item in estimates:
        images = item.work.trained + item.work.evaluated + item.work.products if item.work else 0
        time = "-" if item.seconds is None else duration(item.seconds)
        bound = f"{item.work.bound} " if item.work and item.work.bound and item.state != "finished" else ""
        points = str(item.work.points) if item.work else "-"
        rows.append((" ".join(item.key), item.state, points, f"{images:,}" if images else "-", bound + time))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_totals(estimates, workers)])


def _totals(estimates: Sequence[Estimate], workers: int) -> list[str]:
    """Return the sums: stages whose work is known, those that may stop earlier, and kinds that are not counted."""
    finished = sum(item.state == "finished" for item in estimates)
    bounded = sum(item.seconds or 0.0 for item in estimates if item.work and item.work.bound)
    known = sum(item.seconds or 0.0 for item in estimates) - bounded
    more = f", and at most {duration(bounded)} of stages that may stop earlier" if bounded else ""
    both = f"{duration(known / workers)}" + (f" to {duration((known + bounded) / workers)}" if bounded else "")
    uncounted = dict.fromkeys(item.key[0] for item in estimates if item.work is None and item.state != "finished")
    return [
        f"{len(estimates)} stages, {finished} finished, {len(estimates) - finished} to run: "
        f"{duration(known)} on one thread{more}",
        f"with {workers} worker{'s' * (workers > 1)}: {both} at best"
        + (f"; not counted: {', '.join(uncounted)}" if uncounted else ""),
    ]
