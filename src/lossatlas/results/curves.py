"""Losses along a curve between two minimizers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lossatlas.results.storage import Floats, Mask, Stored
from lossatlas.results.surfaces import VALUES


@dataclass(frozen=True)
class CurveLosses(Stored):
    """Losses and accuracies at points of a curve, a row per way to set the statistics of batch normalization."""

    KIND: ClassVar[str] = "curve"
    AXES: ClassVar[tuple[str, ...]] = ("t",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys((*VALUES, "computed"), ("row", "t")),
        **dict.fromkeys(("from_start", "from_end", "arc"), ("t",)),
    }

    t: Floats  # (n,) 0 at the start, 1 at the end
    train_loss: Floats  # (rows, n) mean cross-entropy, nats
    train_accuracy: Floats  # (rows, n) fraction
    test_loss: Floats  # (rows, n) NaN where no test set was given
    test_accuracy: Floats  # (rows, n)
    computed: Mask  # (rows, n)
    from_start: Floats  # (n,) L2 distance to the start in all parameters
    from_end: Floats  # (n,) L2 distance to the end
    arc: Floats  # (n,) length of the curve from the start
    rows: tuple[str, ...]  # frozen, interpolated or refreshed
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)
