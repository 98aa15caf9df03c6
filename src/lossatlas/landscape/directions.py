"""Directions in weight space: random and normalized (Li et al. 2018, section 4), or between two checkpoints."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lossatlas.files import canonical_json, sha256_json, write_bytes
from lossatlas.models.weights import state_of, weights_hash
from lossatlas.randomness import generator

Normalization = Literal["filter", "layer", "weight", "none"]
Span = Literal["weights", "states"]

# the published program adds this to a direction's norm before it divides
_TINY = 1e-10


@dataclass(frozen=True)
class Direction:
    """A direction from one point in weight space.

    Attributes:
        tensors: the direction by parameter name; names that are absent do not move. Units: those of the weights.
        weights: hash of the weights it belongs to (`weights_hash`).
        kind: `random`, `between` two checkpoints, `pca` (a principal component of a path), or `gram_schmidt` (an axis
            of the plane through three points).
        normalization: how a random direction was scaled.
        exclude_1d: whether biases and batch normalization stay fixed.
        span: `weights` (parameters) or `states` (running statistics too).
        seed: of a random direction.
        stream: name of the random stream, for example `direction_x`.
        end: hash of the weights that a direction between two checkpoints ends at.
    """

    tensors: Mapping[str, Tensor]
    weights: str
    kind: Literal["random", "between", "pca", "gram_schmidt"]
    normalization: Normalization = "none"
    exclude_1d: bool = False
    span: Span = "weights"
    seed: int | None = None
    stream: str | None = None
    end: str | None = None

    def description(self) -> dict[str, str | int | bool | None]:
        """Return everything but the tensors, as plain values."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "tensors"}

    def require(self, state: Mapping[str, Tensor]) -> None:
        """Refuse weights that the direction does not belong to.

        Raises:
            ValueError: the hash of `state` is another one, or a shape differs.
        """
        for name, tensor in self.tensors.items():
            if name not in state or state[name].shape != tensor.shape:
                found = tuple(state[name].shape) if name in state else "absent"
                raise ValueError(f"the direction's {name!r} has shape {tuple(tensor.shape)}, the weights': {found}")
        if (found_hash := weights_hash(state)) != self.weights:
            raise ValueError(
                f"the direction belongs to the weights {self.weights[:12]}, these are {found_hash[:12]}; "
                "make a new direction from these weights"
            )

    def save(self, path: Path | str) -> None:
        """Write to a safetensors file, byte-stable."""
        from safetensors.torch import save

        about = {**self.description(), "content": weights_hash(self.tensors)}
        metadata = {"lossatlas": canonical_json({**about, "seal": sha256_json(about)})}
        write_bytes(path, save(state_of(self.tensors), metadata=metadata))

    @classmethod
    def load(cls, path: Path | str) -> Direction:
        """Read from a safetensors file.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is damaged or holds no direction.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
        try:
            with safe_open(path, "pt") as file:
                described = json.loads((file.metadata() or {})["lossatlas"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is damaged or holds no direction ({error}); make it again") from error
        expected = {item.name for item in fields(cls)} - {"tensors"} | {"content", "seal"}
        if not isinstance(described, dict) or described.keys() != expected:
            raise ValueError(
                f"{path} holds no direction; it may be a checkpoint, or damaged: name the right file, or make it again"
            )
        if described.pop("seal") != sha256_json(described):
            raise ValueError(f"{path} is damaged (its description is not the one that was written); make it again")
        if described.pop("content") != weights_hash(tensors):
            raise ValueError(f"{path} is damaged (its numbers are not those that were written); make it again")
        return cls(tensors=tensors, **described)


def parameter_names(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names in `state` that are parameters: no running statistics, floating point."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return [n for n, t in state.items() if t.is_floating_point() and n.rpartition(".")[2] not in statistics]


def _require_state(state: object) -> None:
    if isinstance(state, nn.Module):
        raise TypeError(
            f"a direction is made from weights, not from a network ({type(state).__name__}); pass `model.state_dict()`"
        )


def _place(tensor: Tensor) -> object:
    """Return what two tensors have in common only if they are one: memory, shape and order."""
    if not tensor.numel() or tensor.device.type == "meta":
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def normalize_like(direction: Tensor, weight: Tensor, normalization: Normalization) -> Tensor:
    """Scale a random tensor to the weights it starts from.

    `filter`: each filter (first index) gets the norm of the weights' filter, d <- d / |d| |w| (Li et al., section 4);
    `layer`: the whole tensor gets the norm of the weights' tensor; `weight`: each entry is multiplied by the weight;
    `none`: as drawn.

    Tensors of at most one dimension (biases, batch normalization), where they move at all (`exclude_1d=False`): each
    entry would be a filter of one number, whose normalized direction is the weight up to sign. As in Li et al.'s
    program, `filter` takes the weights themselves, d = w: nothing of the draw is left, and two directions agree there.
    The other normalizations treat these tensors as any other (the program copies the weights for them too).
    """
    if normalization == "none":
        return direction
    if normalization == "weight":
        return direction * weight
    if normalization == "filter" and weight.dim() <= 1:
        return weight.clone()
    axes = None if normalization == "layer" else tuple(range(1, weight.dim()))
    wanted, found = (torch.linalg.vector_norm(t, dim=axes, keepdim=True) for t in (weight, direction))
    scaled: Tensor = direction * (wanted / (found + _TINY))
    return scaled


def random_direction(
    state: Mapping[str, Tensor],
    *,
    seed: int,
    stream: str = "direction_x",
    normalization: Normalization = "filter",
    exclude_1d: bool = True,
    parameters: Collection[str] | None = None,
) -> Direction:
    """Draw a Gaussian direction from the weights `state`.

    Each tensor has a stream of its own: neither the order of the names nor what else moves changes its numbers. Tied
    tensors, which share their memory in `state`, move as one, by the numbers of the first name.

    Args:
        state: parameters and buffers by name, as `state_dict` gives them.
        seed: with `stream`, determines the numbers.
        stream: name of the random stream; two axes of a plane take two streams.
        normalization: see `normalize_like`.
        exclude_1d: leave biases and batch normalization where they are (zero direction); for how they move otherwise
            see `normalize_like`.
        parameters: the names that may move, where `state` holds buffers that `parameter_names` cannot tell.

    Raises:
        TypeError: `state` is a network.
        ValueError: no weights are left to move, or another normalization.
    """
    _require_state(state)
    if normalization not in get_args(Normalization):
        allowed = ", ".join(get_args(Normalization))
        raise ValueError(f"normalization = {normalization!r} is unknown; allowed: {allowed}")
    tensors: dict[str, Tensor] = {}
    first: dict[object, str] = {}
    for name in parameter_names(state):
        twin = first.setdefault(_place(state[name]), name)
        if twin in tensors:
            tensors[name] = tensors[twin]
            continue
        weight = state[name].detach().cpu()
        if (exclude_1d and weight.dim() <= 1) or (parameters is not None and name not in parameters):
            continue
        noise = torch.randn(weight.shape, generator=generator(seed, stream, name), dtype=weight.dtype)
        tensors[name] = normalize_like(noise, weight, normalization)
    if not tensors:
        raise ValueError("no weights with more than one dimension to move; pass exclude_1d=False")
    return Direction(
        tensors=tensors,
        weights=weights_hash(state),
        kind="random",
        normalization=normalization,
        exclude_1d=exclude_1d,
        seed=seed,
        stream=stream,
    )


def direction_between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], *, span: Span = "weights") -> Direction:
    """Return the direction from one checkpoint to another: coordinate 0 is `start`, 1 is `end`.

    Args:
        start: parameters and buffers of the first checkpoint.
        end: those of the second, same names and shapes.
        span: `weights` moves the parameters; `states` moves the running statistics of batch normalization too.

    Raises:
        TypeError: `start` or `end` is a network.
        ValueError: names or shapes differ.
    """
    for given in (start, end):
        _require_state(given)
    names, others = (
        parameter_names(state) if span == "weights" else [n for n, t in state.items() if t.is_floating_point()]
        for state in (start, end)
    )
    for name in dict.fromkeys([*names, *others]):
        if name not in start or name not in end or end[name].shape != start[name].shape:
            raise ValueError(f"the two checkpoints differ in {name!r}; a direction needs two of the same network")
    tensors = {name: end[name].detach().cpu() - start[name].detach().cpu() for name in names}
    return Direction(tensors=tensors, weights=weights_hash(start), kind="between", span=span, end=weights_hash(end))
