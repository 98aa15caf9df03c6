"""Class probabilities of the members of an ensemble, computed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.spreading import spread
from lossatlas.files import sha256_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress
from lossatlas.sealed import read_array, write_array

State = Mapping[str, Tensor]
Member = State | Path | str
Probabilities = npt.NDArray[np.float32]


def probabilities(logits: Tensor) -> Probabilities:
    """Return the softmax of `logits`, (n, classes), computed in float64 and rounded to float32."""
    found: Probabilities = logits.double().softmax(1).numpy().astype(np.float32)
    return found


def predict(
    model: nn.Module,
    members: Sequence[Member],
    inputs: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    label: str = "predictions",
    executor: Executor | None = None,
) -> Probabilities:
    """Return what each member says about each example; the members are weights of one network.

    Args:
        model: the network; it is left untouched.
        members: parameters and buffers of each member by name, or files that `load_checkpoint` reads, which are in
            memory one at a time.
        inputs: normalized examples, (n, ...).
        labels: their classes, (n,); only checked against the network's outputs.
        batch_size: examples per forward pass.
        device: where to compute.
        folder: keeps the finished members of these inputs: a killed call goes on after them, and loses one at most.
        label: of the progress bar.
        executor: where members are computed, any `concurrent.futures.Executor`; files of members must lie on a file
            system that its workers share. None: here.

    Returns:
        Probabilities, (members, n, classes) in float32: rows sum to 1 within rounding, and differ from the softmax in
        float64 by at most 6e-8 of each value (those below 1e-38 by more, down to zero).

    Raises:
        FileNotFoundError: a file does not exist.
        KeyError, ValueError: weights or examples do not fit the network, or a file in `folder` is damaged.
    """
    if not members:
        raise ValueError("there are no members; pass the weights of at least one")
    settings = [weights_hash({"inputs": inputs}), batch_size, str(device)]
    names = [sha256_json([weights_of(member)[1], *settings])[:16] for member in members]
    places = [folder and folder / f"member_{name}.npy" for name in names]
    rows = {i: row for i, place in enumerate(places) if (row := _kept(place, len(inputs))) is not None}
    make = partial(_predicting, model, members, inputs, labels, batch_size, device)
    with progress(label, len(members), done=len(rows), unit="members") as advance:
        for i, row in spread(make, [[i] for i in range(len(members)) if i not in rows], executor, folder=folder):
            rows[i] = row
            _keep(places[i], row)
            advance(1)
    return np.stack([rows[i] for i in range(len(members))])


def _predicting(
    model: nn.Module,
    members: Sequence[Member],
    inputs: Tensor,
    labels: Tensor,
    batch_size: int,
    device: torch.device | str,
) -> Callable[[int], Probabilities]:
    """Return what predicts with a member."""
    evaluator = Evaluator(model, {"test": (inputs, labels)}, batch_size=batch_size, device=device)

    def predicted(i: int) -> Probabilities:
        evaluator.load(weights_of(members[i])[0])
        return probabilities(evaluator.logits("test"))

    return predicted


def weights_of(member: Member) -> tuple[State, str]:
    """Return the parameters and buffers of a member, and their hash."""
    if isinstance(member, str | os.PathLike):
        checkpoint = load_checkpoint(Path(member))
        return checkpoint.state, checkpoint.weights_hash
    return member, weights_hash(member)


def _kept(path: Path | None, examples: int) -> Probabilities | None:
    """Return a member that an earlier call finished, None if there is none."""
    if path is None or not path.is_file():
        return None
    row: Probabilities = read_array(path)
    if row.dtype != np.float32 or row.ndim != 2 or len(row) != examples:
        raise ValueError(
            f"{path} holds {row.dtype} of shape {row.shape}, expected float32 of shape ({examples}, classes); "
            "delete it, and what it held is computed again"
        )
    return row


def _keep(path: Path | None, row: Probabilities) -> None:
    if path is not None:
        write_array(path, row)
