"""Data of any kind as batches: tensors in tuples or mappings, or a loader that gives the same batches each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lossatlas.engine.identity import contents
from lossatlas.files import sha256_json

# `(inputs, ..., targets)` or a mapping of tensors and arrays; a data set; a loader or list of batches
AnyData = tuple[Any, ...] | Mapping[str, Any] | Dataset[Any] | Iterable[Any]
_RANDOM = ("RandomSampler", "WeightedRandomSampler", "SubsetRandomSampler")


@dataclass(frozen=True)
class Batch:
    """Examples that pass a network together.

    Attributes:
        content: `(inputs, ..., targets)`, or a mapping of what the network takes by name.
        n: number of examples.
    """

    content: Any
    n: int

    @property
    def named(self) -> bool:
        """Whether the network takes the batch by name."""
        return isinstance(self.content, Mapping)

    @property
    def targets(self) -> Any:
        """What a loss compares the outputs with: the last item, or the whole mapping."""
        return self.content if self.named else self.content[-1]

    def run(self, net: Any) -> Any:
        """Return the outputs of a network."""
        if self.named:
            return net(**self.content)
        inputs = self.content[:-1]
        return net(**inputs[0]) if len(inputs) == 1 and isinstance(inputs[0], Mapping) else net(*inputs)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(_each(self.content, lambda tensor: tensor.to(device)), self.n)

    def copied(self) -> Batch:
        """Return a batch that shares no memory with this one."""
        return Batch(_each(self.content, torch.clone), self.n)

    def part(self, start: int, stop: int) -> Batch:
        """Return some of the examples; tensors that have no entry per example stay whole."""
        return Batch(_each(self.content, lambda t: t[start:stop] if t.dim() and len(t) == self.n else t), stop - start)

    def joined(self, other: Batch) -> Batch:
        """Return a batch of the examples of both; tensors that have no entry per example must be equal.

        Raises:
            ValueError: the two differ in more than their examples.
            RuntimeError: examples of other shapes.
        """
        return Batch(_together(self.content, other.content, self.n, other.n), self.n + other.n)


@dataclass(frozen=True)
class Batches:
    """A data set as batches, in memory.

    Attributes:
        items: the batches in order.
        examples: how many there are in all.
    """

    items: tuple[Batch, ...]
    examples: int

    def content(self) -> list[str]:
        """Return what tells these batches from others."""
        return ["batches", sha256_json([contents(batch.content) for batch in self.items])]


def is_pair(data: Any) -> bool:
    """Tell whether data are one tensor, array or list of inputs and one of targets; a list of tuples is of batches."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        return False
    return _tensors(data) or (isinstance(data, tuple) and not any(map(_named, data)))


def _named(value: Any) -> bool:
    """Tell whether a value is a mapping, or a sequence of such."""
    return isinstance(value, Mapping) or (isinstance(value, tuple | list) and isinstance(next(iter(value), 0), Mapping))


def as_batches(name: str, data: Any, batch_size: int, dtype: torch.dtype) -> Batches:
    """Return data as batches.

    Args:
        name: what errors call the data set.
        data: `(inputs, ..., targets)` or a mapping of tensors and arrays with one entry per example; a PyTorch data
            set; or a `DataLoader` or list of batches, which are tuples or mappings themselves and are read twice.
        batch_size: examples per batch, where the data are not in batches.
        dtype: of floating-point arrays; tensors are taken as they are.

    Raises:
        ValueError: data of another kind, of differing lengths, empty, or not the same twice.
    """
    if isinstance(data, Batches):
        return data
    if isinstance(data, Mapping) or (_tensors(data) and len(data) > 1) or is_pair(data):
        return _divided(name, data, batch_size, dtype)
    if isinstance(data, Iterator):
        raise ValueError(
            f"{name} is an iterator ({type(data).__name__}), which gives its batches once; pass a DataLoader or a list"
        )
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size)
    if not isinstance(data, Iterable) or isinstance(data, Tensor | np.ndarray | str | bytes):
        raise ValueError(
            f"{name} is a {type(data).__name__}; data are a pair (inputs, targets) or a mapping of tensors, a Dataset, "
            "or a DataLoader or list of batches"
        )
    return _loaded(name, data, dtype)


def _tensors(data: Any) -> bool:
    return isinstance(data, tuple | list) and all(isinstance(item, Tensor | np.ndarray) for item in data)


def _divided(name: str, data: Any, batch_size: int, dtype: torch.dtype) -> Batches:
    """Divide tensors with an entry per example into batches."""
    whole = _converted(data, dtype, sequences=True)
    items = whole.values() if isinstance(whole, Mapping) else whole
    lengths = [len(item) if isinstance(item, Tensor) and item.dim() else None for item in items]
    if not lengths or None in lengths or len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(f"{name} has {lengths} examples in its tensors; all must have the same number, at least 1")
    all_of = Batch(whole, int(lengths[0]))
    parts = [all_of.part(i, min(i + batch_size, all_of.n)) for i in range(0, all_of.n, batch_size)]
    return Batches(tuple(parts), all_of.n)


def _loaded(name: str, loader: Iterable[Any], dtype: torch.dtype) -> Batches:
    """Read a loader twice and keep its batches, if they were the same."""
    samplers = [getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)]
    if found := [type(sampler).__name__ for sampler in samplers if type(sampler).__name__ in _RANDOM]:
        raise ValueError(
            f"{name} is a {type(loader).__name__} with a {found[0]}, which shuffles; make one with shuffle=False, so "
            "that every pass gives the same batches"
        )
    with torch.random.fork_rng([]):  # loaders draw seeds for their workers
        items = [_batch(name, i, content, dtype) for i, content in enumerate(loader)]
        if not items:
            raise ValueError(f"{name} gives no batches; at least one is needed")
        count = 0
        for i, content in enumerate(loader):
            count += 1
            if i >= len(items) or contents(_batch(name, i, content, dtype).content) != contents(items[i].content):
                raise ValueError(
                    f"two passes over {name} differ in batch {i}; switch off its random augmentation or order "
                    "(evaluation transforms, shuffle=False), so that every pass gives the same batches"
                )
    if count < len(items):
        raise ValueError(
            f"a second pass over {name} gives {count} batches, the first {len(items)}; pass a list of them"
        )
    return Batches(tuple(items), sum(item.n for item in items))


def _batch(name: str, i: int, content: Any, dtype: torch.dtype) -> Batch:
    if not isinstance(content, Mapping) and not (isinstance(content, tuple | list) and len(content) > 1):
        what = f"a {type(content).__name__}" + (f" of {len(content)}" if isinstance(content, tuple | list) else "")
        raise ValueError(
            f"batch {i} of {name} is {what}; batches are (inputs, ..., targets) or mappings of what the model takes "
            "(for an autoencoder: (x, x))"
        )
    whole = _converted(content, dtype)
    first = whole.values() if isinstance(whole, Mapping) else reversed(whole)
    sizes = [len(item) for item in first if isinstance(item, Tensor) and item.dim()]
    if not sizes or not sizes[0]:
        raise ValueError(
            f"batch {i} of {name} has no tensor with an entry per example; put one in, such as labels (n,)"
        )
    return Batch(whole, sizes[0])


def _converted(value: Any, dtype: torch.dtype, *, sequences: bool = False) -> Any:
    """Return arrays as tensors, `sequences` within a tuple of data too; sequences as tuples, mappings as dicts."""
    if isinstance(value, Mapping):
        return {str(key): _converted(item, dtype, sequences=sequences) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(
            _array(item, dtype) if sequences and isinstance(item, tuple | list) else _converted(item, dtype)
            for item in value
        )
    return _array(value, dtype) if isinstance(value, np.ndarray) else value


def _array(value: Any, dtype: torch.dtype) -> Tensor:
    tensor = torch.as_tensor(np.array(value, order="C"))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _each(value: Any, change: Any) -> Any:
    """Return a batch with all its tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each(item, change) for key, item in value.items()}
    return tuple(_each(item, change) for item in value) if isinstance(value, tuple | list) else value


def _together(first: Any, second: Any, n: int, m: int) -> Any:
    """Return what two batches of n and m examples hold as one."""
    if isinstance(first, Tensor):
        if first.dim() and len(first) == n and second.dim() and len(second) == m:
            return torch.cat([first, second])
        if torch.equal(first, second):
            return first
    elif isinstance(first, Mapping):
        return {key: _together(item, second[key], n, m) for key, item in first.items()}
    elif isinstance(first, tuple | list):
        return tuple(_together(a, b, n, m) for a, b in zip(first, second, strict=True))
    elif first == second:
        return first
    raise ValueError("the batches differ in what is not one entry per example; divide the data in another way")
