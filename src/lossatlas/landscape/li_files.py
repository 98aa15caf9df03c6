"""Direction files of the program of Li et al. (tomgoldstein/loss-landscape), read and written.

Such an HDF5 file holds the groups `xdirection` and `ydirection` (absent for a line). Each has the data sets `0`, `1`,
..., one per parameter in the network's order, or one per entry of its state dictionary where the statistics of batch
normalization move too. It does not say which network, which weights or which random numbers they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.files import replacing
from lossatlas.landscape.directions import Direction, Normalization, Span
from lossatlas.models.weights import weights_hash

_GROUPS = ("xdirection", "ydirection")
_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError)
# relative, of a norm in float32: sums of squares of up to a million numbers, and the 1e-10 added to a norm
_SAME_NORM = 1e-4

Kind = Literal["random", "between", "pca"]


def read_li_directions(path: Path | str, model: nn.Module, *, kind: Kind = "random") -> tuple[Direction, ...]:
    """Read the one or two directions of a direction file for the network that they start from.

    Tensors of one dimension that are zero everywhere (`biasbn` ignored) become absent. How a random direction was
    normalized is read off its norms. That it belongs to the weights of `model` is what the caller says.

    Args:
        path: the direction file.
        model: the network with the weights that the directions start from.
        kind: `random`, `between` two checkpoints, or `pca`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, no direction file, or of another network.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            groups = [file[name] for name in _GROUPS if name in file]
            stored = [[np.asarray(group[str(i)]) for i in range(len(group))] for group in groups]
    except _ERRORS as error:
        raise ValueError(f"{path} is damaged or no direction file of Li et al.'s program ({error})") from error
    if not stored:
        raise ValueError(f"{path} has neither {' nor '.join(_GROUPS)}; it is no direction file of Li et al.'s program")
    return tuple(_direction(path, arrays, model, kind) for arrays in stored)


def write_li_directions(path: Path | str, directions: Sequence[Direction], model: nn.Module) -> None:
    """Write one or two directions as a direction file.

    Args:
        path: the file.
        directions: along x, and along y; those that move statistics of batch normalization (`span` is `states`) are
            written for that program's option `--dir_type states`.
        model: the network with the weights that they start from; zeros stand for what a direction leaves out.

    Raises:
        ValueError: not one or two directions, of different spans, or from other weights.
    """
    import h5py

    spans = {direction.span for direction in directions}
    if len(directions) not in (1, 2) or len(spans) != 1:
        raise ValueError(f"{len(directions)} directions of the spans {sorted(spans)}; write one, or two of one span")
    state = model.state_dict()
    names = list(_orders(model)["states" if spans == {"states"} else "weights"])
    for direction in directions:
        direction.require(state)
        if lost := direction.tensors.keys() - set(names):
            raise ValueError(f"the direction moves {', '.join(sorted(lost))}, which such a file has no place for")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, direction in zip(_GROUPS, directions, strict=False):
            group = file.create_group(name)
            for i, parameter in enumerate(names):
                values = direction.tensors.get(parameter, torch.zeros_like(state[parameter])).detach().cpu().numpy()
                group.create_dataset(str(i), data=values, track_times=False)


def _orders(model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return the tensors in the orders that a file can have; older versions of PyTorch counted no batches."""
    states = dict(model.state_dict())
    uncounted = {name: tensor for name, tensor in states.items() if not name.endswith("num_batches_tracked")}
    return {"weights": dict(model.named_parameters()), "states": states, "states without counters": uncounted}


def _direction(path: Path, arrays: list[Any], model: nn.Module, kind: Kind) -> Direction:
    shapes, orders = [array.shape for array in arrays], _orders(model)
    fitting = [name for name, order in orders.items() if [tuple(t.shape) for t in order.values()] == shapes]
    if not fitting:
        counts = f"{len(orders['weights'])} parameters, {len(orders['states'])} entries with statistics"
        raise ValueError(f"{path} holds {len(shapes)} tensors, which do not fit the network ({counts})")
    order = orders[fitting[0]]
    span: Span = "weights" if fitting[0] == "weights" else "states"
    made = {name: torch.from_numpy(array).to(order[name].dtype) for name, array in zip(order, arrays, strict=True)}
    made = {name: tensor for name, tensor in made.items() if order[name].is_floating_point()}
    fixed = {name for name, tensor in made.items() if tensor.dim() <= 1 and not tensor.any()}
    exclude_1d = fixed == {name for name, tensor in made.items() if tensor.dim() <= 1}
    tensors = {name: tensor for name, tensor in made.items() if not exclude_1d or name not in fixed}
    return Direction(
        tensors=tensors,
        weights=weights_hash(model.state_dict()),
        kind=kind,
        normalization=_normalization(tensors, order) if kind == "random" else "none",
        exclude_1d=exclude_1d,
        span=span,
    )


def _normalization(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Normalization:
    """Tell a direction's normalization by its norms: each filter's, or each tensor's, is that of the weights."""
    large = [(tensor, weights[name].detach().cpu()) for name, tensor in tensors.items() if tensor.dim() > 1]
    found: dict[Normalization, bool] = {
        "filter": all(_same(*(torch.linalg.vector_norm(t.flatten(1), dim=1) for t in pair)) for pair in large),
        "layer": all(_same(*(torch.linalg.vector_norm(t) for t in pair)) for pair in large),
    }
    return next((name for name, fits in found.items() if fits and large), "none")


def _same(found: Tensor, wanted: Tensor) -> bool:
    return bool(torch.allclose(found, wanted, rtol=_SAME_NORM, atol=1e-8))
