"""The path of a training, projected onto a plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lossatlas.results.storage import Floats, Integers, Stored


@dataclass(frozen=True)
class Trajectory(Stored):
    """Checkpoints of one training in the coordinates of two directions from the last weights."""

    KIND: ClassVar[str] = "trajectory"
    AXES: ClassVar[tuple[str, ...]] = ("epoch",)
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **dict.fromkeys(("path_x", "path_y", "distance", "alignment"), ("epoch",)),
        "captured": ("axis",),
        "spectrum": ("component",),
    }

    epoch: Integers  # (n,) of each checkpoint, the last included
    path_x: Floats  # (n,) least-squares coordinate along direction x; 0 at the last
    path_y: Floats  # (n,)
    distance: Floats  # (n,) in all weights that move
    alignment: Floats  # (n,) |cos| of the step into a checkpoint with the loss gradient within the plane; first NaN
    captured: Floats  # (2,) share of the path's variation along each axis
    spectrum: Floats  # (k,) explained variance ratios of all principal components
    drops: tuple[str, ...]  # epochs after which the learning rate was lowered
    axes: str  # pca, random or random_and_start
    note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
