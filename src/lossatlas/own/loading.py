"""Networks, data and losses by the names of Python objects, and weights from files; with errors that say what to do."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lossatlas.models.checkpoint import load_checkpoint


def find(key: str, text: str) -> Any:
    """Return the object that `module:name` names; modules are looked for in the present folder too.

    Raises:
        ValueError: no such form, module or name, or a module that cannot be imported.
    """
    module_name, sign, name = text.partition(":")
    if not sign or not module_name or not name:
        raise ValueError(f"{key} = {text!r} names no object; say module:name, such as {key}=mymodule:{key}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ValueError(
                f"{key} = {text!r}: there is no module {error.name!r} in {here} or among the installed ones"
            ) from error
        raise ValueError(f"{key} = {text!r}: {module_name} cannot be imported ({error}); install it") from error
    except Exception as error:  # importing runs the user's own code
        raise ValueError(
            f"{key} = {text!r}: {module_name} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), 3)
            public = [item for item in vars(found) if not item.startswith("_")]
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(public[:10]) or 'nothing'}"
            raise ValueError(f"{key} = {text!r}: {module_name} has no {part!r}; {hint}")
        found = getattr(found, part)
    return found


def find_function(key: str, text: str | None) -> Callable[..., Any] | None:
    """Return the function that `module:name` names, an instance where it names a class; None for None.

    Raises:
        ValueError: see `find`, or an object that cannot be called.
    """
    if text is None:
        return None
    found = find(key, text)
    found = _made(key, text, found) if isinstance(found, type) else found
    if not callable(found):
        raise ValueError(f"{key} = {text!r} is a {type(found).__name__}; a function of outputs and targets is needed")
    return found  # type: ignore[no-any-return]


def _made(key: str, text: str, maker: Callable[[], Any]) -> Any:
    """Call a class or function without arguments."""
    try:
        return maker()
    except Exception as error:  # the user's own code
        raise ValueError(
            f"{key} = {text!r} cannot be made without arguments ({type(error).__name__}: {error}); name a function of "
            "no arguments that makes it"
        ) from error


def load_model(text: str, checkpoint: Path | None) -> nn.Module:
    """Return the network that `module:name` names or makes, with the weights of a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no network, or weights of another one.
    """
    found = find("model", text)
    if not isinstance(found, nn.Module) and callable(found):
        found = _made("model", text, found)
    if not isinstance(found, nn.Module):
        raise ValueError(f"model = {text!r} gives a {type(found).__name__}; a torch.nn.Module is needed")
    if checkpoint is not None:
        state = load_checkpoint(checkpoint).state
        if state and all(name.startswith("_orig_mod.") for name in state):  # of a compiled network
            state = {name.removeprefix("_orig_mod."): tensor for name, tensor in state.items()}
        _fill(found, state, f"checkpoint {checkpoint} does not fit {text}")
    return found


def _fill(model: nn.Module, state: dict[str, Tensor], problem: str) -> None:
    """Copy weights into a network."""
    own = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name, tensor in own.items():  # files of safetensors have tied weights once
        twin = first.setdefault(id(tensor), name) if name in state else first.get(id(tensor))
        if name not in state and twin is not None:
            state[name] = state[twin]
    missing, extra = [n for n in own if n not in state], [n for n in state if n not in own]
    if missing or extra:
        parts = [f"the file lacks {_some(missing)}"] if missing else []
        parts += [f"the model has no {_some(extra)}"] if extra else []
        raise ValueError(f"{problem}: {'; '.join(parts)}")
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)} in the file and {tuple(tensor.shape)} in the model"
            raise ValueError(f"{problem}: {name!r} has shape {shapes}")
    model.load_state_dict(state)


def _some(names: Sequence[str]) -> str:
    return repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def load_data(key: str, text: str, *, split: str = "") -> Any:
    """Return data from an `.npz` file with `images` and `labels`, an object, or a function or class of no arguments.

    Args:
        key: what errors call them.
        text: the file or `module:name`.
        split: put before the names in a file, for example `test_`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, other names in it, or see `find`.
    """
    if not text.endswith(".npz"):
        found = find(key, text)
        if isinstance(found, type):
            return _made(key, text, found)
        if not callable(found) or isinstance(found, Dataset):
            return found
        try:
            return found()
        except Exception as error:  # the user's own code
            raise ValueError(f"{key} = {text!r} fails ({type(error).__name__}: {error})") from error
    path = Path(text)
    if not path.is_file():
        raise FileNotFoundError(f"{key} = {text!r}: there is no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{key} = {text!r} is damaged or no file of arrays ({error}); write it by numpy.savez"
        ) from error
    names = [f"{split}images", f"{split}labels"]
    if absent := [name for name in names if name not in arrays]:
        raise ValueError(f"{key} = {text!r} has no {absent[0]!r}, it has {', '.join(arrays) or 'nothing'}")
    images, labels = (arrays[name] for name in names)
    if images.dtype == np.uint8:
        raise ValueError(
            f"{key} = {text!r} has images of bytes, which are not scaled here; store them as the network takes them, "
            "normalized floats: ((images / 255 - mean) / std).astype('float32')"
        )
    return torch.as_tensor(images), torch.as_tensor(labels)


def as_weights(key: str, data: Any, dtype: torch.dtype) -> tuple[Any, str]:
    """Return a pair of data with its inputs in the floating-point type of the weights, and a note where that changed.

    NumPy makes float64, networks are float32. Data of other forms stay as they are.
    """
    if not isinstance(data, tuple | list) or len(data) != 2 or not isinstance(data[0], Tensor | np.ndarray):
        return data, ""
    inputs = torch.as_tensor(data[0])
    if not inputs.is_floating_point() or inputs.dtype == dtype:
        return data, ""
    names = [str(kind).removeprefix("torch.") for kind in (inputs.dtype, dtype)]
    return (inputs.to(dtype), data[1]), f"{key}: inputs cast from {names[0]} to {names[1]}, the type of the weights"
