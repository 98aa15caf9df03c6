"""Averages of weights: one network in the place of an ensemble (stochastic weight averaging, Izmailov et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossatlas.ensembles.predictions import Member, weights_of


def average_weights(members: Sequence[Member]) -> dict[str, Tensor]:
    """Return the mean of the members' weights, summed in float64 and rounded once to their precision.

    Running statistics of batch normalization are averaged too, but their mean is not what belongs to the mean weights:
    refresh them (`lossatlas.engine.statistics.Statistics`) before the network is used. Integers are those of the last.

    Args:
        members: parameters and buffers of each member by name, or checkpoint files, in memory one at a time.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: there are no members, or they differ in names or shapes.
    """
    if not members:
        raise ValueError("there are no members to average; pass the weights of at least one")
    sums: dict[str, Tensor] = {}
    last: Mapping[str, Tensor] = {}
    for i, member in enumerate(members):
        last = weights_of(member)[0]
        floating = {name: tensor for name, tensor in last.items() if tensor.is_floating_point()}
        if not sums:
            sums = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in floating.items()}
        shapes = [{name: tensor.shape for name, tensor in found.items()} for found in (sums, floating)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"member {i} differs from the first in names or shapes; an average needs one network")
        for name, total in sums.items():
            total += floating[name].to(torch.float64)
    means = {name: (total / len(members)).to(last[name].dtype) for name, total in sums.items()}
    return {name: means.get(name, tensor) for name, tensor in last.items()}
