"""Class probabilities of the members of an ensemble, computed once."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lossatlas.engine.evaluator import Evaluator
from lossatlas.files import sha256_json, write_bytes
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.models.weights import weights_hash
from lossatlas.progress import progress

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

    Returns:
        Probabilities, (members, n, classes) in float32: rows sum to 1 within rounding, and differ from the softmax in
        float64 by at most 6e-8 of each value (those below 1e-38 by more, down to zero).

    Raises:
        FileNotFoundError: a file does not exist.
        KeyError, ValueError: weights or examples do not fit the network.
    """
    if not members:
        raise ValueError("there are no members; pass the weights of at least one")
    evaluator = Evaluator(model, {"test": (inputs, labels)}, batch_size=batch_size, device=device)
    settings = [weights_hash({"inputs": inputs}), batch_size, str(device)]
    rows = []
    with progress(label, len(members), unit="members") as advance:
        for member in members:
            state, digest = weights_of(member)
            kept = folder and folder / f"member_{sha256_json([digest, *settings])[:16]}.npy"
            row = _kept(kept, len(inputs))
            if row is None:
                evaluator.load(state)
                row = probabilities(evaluator.logits("test"))
                _keep(kept, row)
            rows.append(row)
            advance(1)
    return np.stack(rows)


def weights_of(member: Member) -> tuple[State, str]:
    """Return the parameters and buffers of a member, and their hash."""
    if isinstance(member, str | os.PathLike):
        checkpoint = load_checkpoint(Path(member))
        return checkpoint.state, checkpoint.weights_hash
    return member, weights_hash(member)


def _kept(path: Path | None, examples: int) -> Probabilities | None:
    """Return a member that an earlier call finished; None if there is none that can be used."""
    if path is None or not path.is_file():
        return None
    try:
        row: Probabilities = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):  # damaged: computed again
        return None
    return row if row.dtype == np.float32 and row.shape[:1] == (examples,) and row.ndim == 2 else None


def _keep(path: Path | None, row: Probabilities) -> None:
    if path is not None:
        stream = io.BytesIO()
        np.save(stream, row, allow_pickle=False)
        write_bytes(path, stream.getvalue())
