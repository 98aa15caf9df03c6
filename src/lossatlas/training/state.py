"""A training's state after an epoch, on disk, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lossatlas.files import replacing
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
    """

    epoch: int = -1
    rows: list[list[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    status: Status = "finished"
    note: str = ""

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
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load_state(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Restore what `save_state` wrote.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        return Progress(**content["progress"])
    except (RuntimeError, KeyError, TypeError, EOFError, OSError) as error:
        raise ValueError(
            f"the training state {path} is damaged ({error}); delete it to train from the start"
        ) from error
