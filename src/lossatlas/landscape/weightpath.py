"""The path of a training through weight space: its checkpoints as rows of a matrix that is never built whole."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.landscape.directions import Direction, Span, parameter_names
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.weights import weights_hash

# float64 numbers that are worked on at a time (32 MiB)
_BLOCK = 1 << 22


class StraightPathError(ValueError):
    """A path with too few dimensions: it stands still, or lacks the principal axes asked for."""


@dataclass(frozen=True)
class WeightPath:
    """Checkpoints of one training in order, the last one being where coordinates are zero.

    Its rows are r_i = theta_i - theta_n for i = 0 ... n, the last row zero (Li et al. 2018, section 7.2). They are
    worked on in float64, a block of columns at a time: beside the checkpoints themselves little memory is needed.

    Attributes:
        states: parameters and buffers of each checkpoint by name.
        names: the tensors that the path is followed in.
        span: `weights` (parameters) or `states` (running statistics too).
        exclude_1d: whether biases and batch normalization (and with them all running statistics) are left out.
    """

    states: tuple[Mapping[str, Tensor], ...]
    names: tuple[str, ...]
    span: Span
    exclude_1d: bool

    @classmethod
    def of(
        cls,
        checkpoints: Sequence[Mapping[str, Tensor] | Path | str],
        *,
        span: Span = "weights",
        exclude_1d: bool = False,
        parameters: Collection[str] | None = None,
    ) -> WeightPath:
        """Make a path of checkpoints of any source.

        Args:
            checkpoints: at least two, in order: state dictionaries, or files that `load_checkpoint` reads (ours,
                safetensors, or the authors' torch files).
            span: `weights` or `states`.
            exclude_1d: leave out tensors of at most one dimension.
            parameters: the names of the parameters, where the states hold buffers that `parameter_names` cannot tell.

        Raises:
            FileNotFoundError: a file does not exist.
            ValueError: fewer than two checkpoints, they differ in a name or shape, or nothing is left to follow.
        """
        if len(checkpoints) < 2:
            raise ValueError(f"checkpoints has {len(checkpoints)}; a path needs at least 2: keep more of them")
        states = tuple(load_checkpoint(Path(c)).state if isinstance(c, str | os.PathLike) else c for c in checkpoints)
        last = states[-1]
        if span == "states":
            names = [name for name, tensor in last.items() if tensor.is_floating_point()]
        else:
            names = [name for name in parameter_names(last) if parameters is None or name in parameters]
        names = [name for name in names if not exclude_1d or last[name].dim() > 1]
        if not names:
            raise ValueError("no weights with more than one dimension to follow; pass exclude_1d=False")
        for i, state in enumerate(states):
            for name in names:
                if name not in state or state[name].shape != last[name].shape:
                    raise ValueError(
                        f"checkpoint {i} differs from the last in {name!r}; a path needs checkpoints of one network"
                    )
        return cls(states, tuple(names), span, exclude_1d)

    def __len__(self) -> int:
        """Return the number of checkpoints, the last included."""
        return len(self.states)

    @property
    def size(self) -> int:
        """The number of weights that the path is followed in."""
        return sum(self.states[-1][name].numel() for name in self.names)

    @cached_property
    def final(self) -> str:
        """The hash of the last weights."""
        return weights_hash(self.states[-1])

    def _blocks(self) -> Iterator[tuple[str, slice, Tensor]]:
        """Yield the rows by blocks of columns: tensor name, flat places in it, values (n + 1, k) in float64."""
        step = max(1, _BLOCK // len(self))
        for name in self.names:
            flat = [state[name].detach().reshape(-1) for state in self.states]
            for begin in range(0, len(flat[-1]), step):
                part = slice(begin, begin + step)
                rows = torch.stack([tensor[part].cpu().double() for tensor in flat])
                yield name, part, rows - rows[-1]

    @cached_property
    def gram(self) -> Tensor:
        """The inner products of the rows, (n + 1, n + 1) in float64; the last row and column are zero.

        Raises:
            StraightPathError: all checkpoints are equal.
            ValueError: a checkpoint is not finite.
        """
        products = torch.zeros(len(self), len(self), dtype=torch.float64)
        for _, _, rows in self._blocks():
            products += rows @ rows.T
        finite = products.diagonal().isfinite()
        if not finite.all():
            bad = "the last checkpoint" if not finite.any() else f"checkpoint {int(finite.int().argmin())}"
            raise ValueError(f"{bad} holds weights that are not finite; end the path before the training diverged")
        if not products.any():
            raise StraightPathError("all checkpoints are equal in the weights that are followed; there is no path")
        return products

    def variation(self, *, centred: bool) -> float:
        """Return the sum of squared distances of all checkpoints from their mean, or from the last one."""
        common = float(self.gram.mean()) * len(self) if centred else 0.0
        return float(self.gram.trace()) - common

    def combined(self, coefficients: Tensor) -> list[dict[str, Tensor]]:
        """Return sum_i coefficients[i, j] r_i for each j, by tensor name, in the precision of the weights.

        Args:
            coefficients: (n + 1, k).
        """
        last = self.states[-1]
        count = coefficients.shape[1]
        sums = {name: torch.empty(count, last[name].numel(), dtype=last[name].dtype) for name in self.names}
        for name, part, rows in self._blocks():
            sums[name][:, part] = (coefficients.T @ rows).to(last[name].dtype)
        return [{name: sums[name][j].reshape(last[name].shape).clone() for name in self.names} for j in range(count)]

    def products(self, directions: Sequence[Direction]) -> tuple[Tensor, Tensor]:
        """Return the inner products of rows and directions, (n + 1, k), and of the directions, (k, k), in float64.

        Raises:
            ValueError: a direction moves what the path leaves out, or has another shape.
        """
        last = self.states[-1]
        for direction in directions:
            for name, tensor in direction.tensors.items():
                if name not in self.names:
                    raise ValueError(f"a direction moves {name!r}, which the path leaves out; see span and exclude_1d")
                if tensor.shape != last[name].shape:
                    raise ValueError(f"a direction's {name!r} has shape {tuple(tensor.shape)}, not the weights'")
        shared = torch.zeros(len(self), len(directions), dtype=torch.float64)
        own = torch.zeros(len(directions), len(directions), dtype=torch.float64)
        for name, part, rows in self._blocks():
            axes = torch.zeros(len(directions), rows.shape[1], dtype=torch.float64)
            for axis, direction in zip(axes, directions, strict=True):
                if name in direction.tensors:
                    axis.copy_(direction.tensors[name].detach().reshape(-1)[part])
            shared += rows @ axes.T
            own += axes @ axes.T
        return shared, own
