"""What the members of an ensemble say about each test example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lossatlas.results.storage import Integers, Stored


@dataclass(frozen=True)
class Predictions(Stored):
    """Class probabilities of every member, saved once: all that an ensemble does is arithmetic on them."""

    KIND: ClassVar[str] = "predictions"
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "probability": ("member", "example", "class"),
        "label": ("example",),
        "budget": ("member",),
        "epoch": ("member",),
    }

    probability: npt.NDArray[np.float32]  # (members, n, classes) rows sum to 1
    label: Integers  # (n,)
    budget: Integers  # (members,) which of the independent runs a member is from: 0, 1, ...
    epoch: Integers  # (members,) epochs of training behind it, those of a run that it goes on from included
    members: tuple[str, ...]  # what each member is, for example "vgg16_sse epoch 5"
    note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
