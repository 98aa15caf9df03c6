"""Reading files of named tensors, our own and those of the papers' authors, with errors that say what to do."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

# What PyTorch's reader raises on files cut short, overwritten, or not written by it.
_TORCH_ERRORS = (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, TypeError)


def is_safetensors(path: Path) -> bool:
    """Tell a safetensors file (True) from a torch file (False) by its first bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is neither.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist; train the network first, or correct the path")
    with path.open("rb") as stream:
        head = stream.read(9)
    if head[8:] == b"{":
        return True
    if head.startswith((b"PK", b"\x80")):
        return False
    what = "is empty" if not head else "is neither a safetensors nor a torch file"
    raise ValueError(f"checkpoint {path} {what}; write it again, or name the right file")


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(_damaged(path, error)) from error


def read_torch(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Return the tensors and the epoch of a file written by `torch.save`.

    The file holds named tensors, or a mapping whose `state_dict` does; nothing else in it is executed. The prefix that
    DataParallel puts before every name is taken off.
    """
    try:
        with warnings.catch_warnings():  # of an odd pickle: it is read, or refused below
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _TORCH_ERRORS as error:
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise ValueError(
                f"checkpoint {path} holds Python objects, which are not loaded because that would run their code; "
                "save model.state_dict() instead of the model"
            ) from error
        raise ValueError(_damaged(path, error)) from error
    epoch = content.get("epoch") if isinstance(content, Mapping) else None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"checkpoint {path} holds no weights: expected named tensors, alone or under the key 'state_dict'; "
            "save model.state_dict()"
        )
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    return {name.removeprefix(prefix): value for name, value in state.items()}, epoch if type(epoch) is int else None


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"checkpoint {path} is truncated or damaged ({reason}); delete it and write or copy it again"
