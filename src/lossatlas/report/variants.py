"""The eight minimizers of a network that Li et al. compare: optimizer, batch size and weight decay, by a run's name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DECAY = 5e-4  # the papers' weight decay where there is one
BATCHES = {"vgg9": (128, 8192), "resnet56": (128, 4096)}  # network: the small and the large batch of Li et al.
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}


@dataclass(frozen=True)
class Variant:
    """What the name of one of the eight minimizers of a network says about its training."""

    network: str
    optimizer: str
    large: bool
    decayed: bool

    @property
    def batch_size(self) -> int:
        """The published batch size."""
        return BATCHES[self.network][self.large]

    @property
    def weight_decay(self) -> float:
        """The published weight decay."""
        return DECAY if self.decayed else 0.0

    @property
    def words(self) -> str:
        """The settings in words."""
        size, decay = ("large" if self.large else "small"), ("" if self.decayed else "no ")
        return f"{OPTIMIZERS[self.optimizer]}, {size} batch, {decay}weight decay"


def _eight(network: str) -> dict[str, Variant]:
    return {
        f"{network}{'_adam' * adam}{'_large' * large}{'_nowd' * (not decayed)}": Variant(
            network, "adam" if adam else "sgd", large, decayed
        )
        for decayed in (False, True)
        for adam in (False, True)
        for large in (False, True)
    }


VARIANTS = _eight("vgg9") | _eight("resnet56")


def departures(run: str, train: Mapping[str, Any]) -> dict[str, str]:
    """Return in words, by setting, how a run was trained other than its name says, nothing for names of no variant.

    Batch sizes that are no published one stand for the small or the large one, as the name says.

    Args:
        run: a run's name.
        train: its optimizer, weight decay and batch size, as far as they are known.
    """
    variant = VARIANTS.get(run)
    if variant is None:
        return {}
    optimizer, decay, batch = (train.get(key) for key in ("optimizer", "weight_decay", "batch_size"))
    found = {}
    if optimizer and not str(optimizer).startswith(variant.optimizer):
        known = (OPTIMIZERS[name] for name in OPTIMIZERS if str(optimizer).startswith(name))
        found["optimizer"] = next(known, str(optimizer))
    if decay is not None and not math.isclose(decay, variant.weight_decay):
        found["weight_decay"] = f"weight decay {decay:g}"
    if batch in BATCHES[variant.network] and batch != variant.batch_size:
        found["batch_size"] = f"batch {batch:,}"
    return found
