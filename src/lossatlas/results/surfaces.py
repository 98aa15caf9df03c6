"""Losses and accuracies along directions from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from lossatlas.results.storage import Floats, Integers, Mask, Stored

VALUES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
# what a sampled plane says of each point besides
SAMPLED = tuple(f"{source}_{kind}" for source in ("train", "test") for kind in ("n", "loss_se", "accuracy_se"))


@dataclass(frozen=True)
class Line(Stored):
    """Losses and accuracies along one direction from a checkpoint, at `alpha` multiples of it."""

    KIND: ClassVar[str] = "line"
    AXES: ClassVar[tuple[str, ...]] = ("alpha",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys((*VALUES, "computed"), ("alpha",))

    alpha: Floats  # (n,)
    train_loss: Floats  # (n,) mean cross-entropy, nats
    train_accuracy: Floats  # (n,) fraction
    test_loss: Floats  # (n,) NaN where no test set was given
    test_accuracy: Floats  # (n,)
    computed: Mask  # (n,)
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plane(Stored):
    """Losses and accuracies on a rectangular grid spanned by two directions from a checkpoint.

    `load` returns a `SampledPlane` where the file holds one.
    """

    KIND: ClassVar[str] = "plane"
    AXES: ClassVar[tuple[str, ...]] = ("x", "y")
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys((*VALUES, "computed"), ("x", "y"))

    x: Floats  # (nx,)
    y: Floats  # (ny,)
    train_loss: Floats  # (nx, ny) mean cross-entropy, nats
    train_accuracy: Floats  # (nx, ny) fraction
    test_loss: Floats  # (nx, ny) NaN where no test set was given
    test_accuracy: Floats  # (nx, ny)
    computed: Mask  # (nx, ny)
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampledPlane(Plane):
    """A plane whose points were estimated from samples of the examples, with the standard error of each value."""

    KIND: ClassVar[str] = "sampled plane"
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {**Plane.DIMS, **dict.fromkeys(SAMPLED, ("x", "y"))}

    _: KW_ONLY
    train_n: Integers  # (nx, ny) examples that were evaluated; all of them where the point is exact
    train_loss_se: Floats  # (nx, ny) standard error, nats; 0 where the point is exact
    train_accuracy_se: Floats  # (nx, ny) standard error, fraction
    test_n: Integers  # (nx, ny) 0 where no test set was given
    test_loss_se: Floats  # (nx, ny) NaN where no test set was given
    test_accuracy_se: Floats  # (nx, ny)


@dataclass(frozen=True)
class Profile(Stored):
    """Losses and accuracies along several directions of one kind, a row each, with the curvature at the centre."""

    KIND: ClassVar[str] = "profile"
    AXES: ClassVar[tuple[str, ...]] = ("alpha",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys((*VALUES, "computed"), ("row", "alpha")),
        "curvature": ("row",),
    }

    alpha: Floats  # (n,)
    train_loss: Floats  # (rows, n) mean cross-entropy, nats
    train_accuracy: Floats  # (rows, n) fraction
    test_loss: Floats  # (rows, n) NaN where no test set was given
    test_accuracy: Floats  # (rows, n)
    computed: Mask  # (rows, n)
    curvature: Floats  # (rows,) d'Hd of the training loss at the centre; NaN where it was not computed
    rows: tuple[str, ...]  # what distinguishes the rows, for example "direction 3" or "one layer x 10"
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)
