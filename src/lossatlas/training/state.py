"""A training's state after an epoch, on disk, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lossatlas.files import write_bytes
from lossatlas.results import History, Status

ROWS = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")


@dataclass
class Progress:
    """What a run has done so far.

    Attributes:
        epoch: finished epochs.
        rows: a value of each of `ROWS` per finished epoch, row 0 first.
        rates: learning rate of every step.
        norms: weight norm after every step.
        seconds: wall time of every epoch in `rows`.
        status: `diverged` as soon as a loss or weight is not finite.
        note: where it diverged.
        settings: seed and recipe of the run, as text.
    """

    epoch: int = -1
    rows: list[list[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: Status = "finished"
    note: str = ""
    settings: str = ""

    @property
    def diverged(self) -> bool:
        """Whether there is nothing left to train."""
        return self.status == "diverged"

    def history(self, provenance: dict[str, Any]) -> History:
        """Return the result type."""
        columns = dict(zip(ROWS, np.asarray(self.rows, dtype=np.float64).T, strict=True))
        return History(
            epoch=np.arange(len(self.rows)),
            **columns,
            step=np.arange(1, len(self.rates) + 1),
            step_learning_rate=np.asarray(self.rates, dtype=np.float64),
            step_weight_norm=np.asarray(self.norms, dtype=np.float64),
            status=self.status,
            note=self.note,
            provenance=provenance,
        )


def save_state(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the whole state atomically."""
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    stream = io.BytesIO()  # a full disk is then an error of ours, not one of torch's writer
    torch.save(content, stream)
    write_bytes(path, stream.getvalue())


def load_state(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, settings: str | None = None
) -> Progress:
    """Restore what `save_state` wrote.

    Raises:
        ValueError: the file is damaged, or belongs to another network or to other `settings` (None: any).
    """
    content = _read(path)
    progress = Progress(**content["progress"])
    if settings is not None and progress.settings != settings:
        difference = _difference(progress.settings, settings)
        raise ValueError(
            f"the training state {path} belongs to another seed or recipe ({difference}); "
            "delete it to train from the start, or name another file"
        )
    try:
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            f"the training state {path} belongs to another network ({error}); "
            "delete it to train from the start, or name another file"
        ) from error
    return progress


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a state file after a test of its checksums, which `torch.load` leaves out."""
    try:
        with zipfile.ZipFile(path) as archive:
            if (part := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {part}")
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        missing = {"model", "optimizer", "progress"} - content.keys()
        if missing:
            raise ValueError(f"{min(missing)} is missing")
    # what a damaged archive or pickle raises is open-ended
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if "GLOBAL" in str(error):
            reason = "it holds Python objects, which are not loaded because that would run their code"
        remedy = "delete it to train from the start"
        raise ValueError(f"the training state {path} is damaged ({reason}); {remedy}") from error
    return content


def _difference(there: str, here: str) -> str:
    """Return the first setting that differs."""
    old, new = (json.loads(text or "{}") for text in (there, here))
    name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
    return f"{name} is {old.get(name)!r} there, {new.get(name)!r} here"
