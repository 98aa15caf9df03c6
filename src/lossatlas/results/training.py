"""What one training leaves behind besides its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lossatlas.results.storage import Floats, Integers, Stored

Status = Literal["finished", "diverged"]
_ROWS = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")


@dataclass(frozen=True)
class History(Stored):
    """One training: a row per epoch (row 0 is the initialization) and a value per optimizer step."""

    KIND: ClassVar[str] = "history"
    AXES: ClassVar[tuple[str, ...]] = ("epoch", "step")
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(_ROWS, ("epoch",)),
        **dict.fromkeys(("step_learning_rate", "step_weight_norm"), ("step",)),
    }

    epoch: Integers  # (epochs + 1,)
    train_loss: Floats  # (epochs + 1,) clean training set, eval mode, nats
    train_error: Floats  # (epochs + 1,) fraction
    test_loss: Floats  # (epochs + 1,)
    test_error: Floats  # (epochs + 1,)
    learning_rate: Floats  # (epochs + 1,) of the epoch's last step; NaN in row 0
    weight_norm: Floats  # (epochs + 1,)
    step: Integers  # (steps,) 1, 2, ...
    step_learning_rate: Floats  # (steps,)
    step_weight_norm: Floats  # (steps,) after the step
    status: Status = "finished"
    note: str = ""  # where and why a run diverged
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightHistogram(Stored):
    """How many weights (of tensors with more than one dimension) lie in each of equal bins."""

    KIND: ClassVar[str] = "weights"
    AXES: ClassVar[tuple[str, ...]] = ("edge",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {"count": ("bin",), "quantile": ("level",), "level": ("level",)}

    edge: Floats  # (bins + 1,) equally spaced; the outermost bins also hold everything beyond
    count: Integers  # (bins,)
    level: Floats  # (k,) fractions of the weights, of their absolute values
    quantile: Floats  # (k,) absolute value that this fraction does not exceed
    provenance: Mapping[str, Any] = field(default_factory=dict)
