"""What tells data, functions and networks from others: plain values that a hash can be taken of."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossatlas.files import sha256_bytes


def content(tensor: Tensor) -> list[str]:
    """Return dtype, shape and hash of a tensor's values, which tell it from any other."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return [
        str(tensor.dtype),
        str(tuple(tensor.shape)),
        hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest(),
    ]


def contents(value: Any) -> Any:
    """Return what tells a batch from any other: tensors and arrays by content, in tuples, lists and mappings.

    Raises:
        TypeError: there is something whose content is not known.
    """
    if isinstance(value, Tensor):
        return content(value)
    if isinstance(value, np.ndarray | np.generic):
        return ["array", str(value.dtype), list(value.shape), sha256_bytes(np.ascontiguousarray(value).tobytes())]
    if isinstance(value, Mapping):
        return ["mapping", *([str(key), contents(item)] for key, item in value.items())]
    if isinstance(value, tuple | list):
        return ["sequence", *map(contents, value)]
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return [type(value).__name__, repr(value)]
    raise TypeError(f"of a {type(value).__name__} the content is not known")


def model_code(model: nn.Module) -> list[list[str]]:
    """Return names and source hashes of the classes of a network that are not PyTorch's."""
    kinds = {kind for module in model.modules() for kind in type(module).__mro__}
    own = {kind for kind in kinds if kind.__module__.split(".")[0] not in ("torch", "builtins")}
    return sorted([f"{kind.__module__}.{kind.__qualname__}", _source(kind)] for kind in own)


def callable_identity(function: Callable[..., Any]) -> Any:
    """Return what tells a function from others: its qualified name, its source, and the values that it refers to.

    Functions of its own module that it calls are looked into; of others the name counts.

    Raises:
        ValueError: it refers to values whose content is not known, or has no source to tell it by.
    """
    try:
        return _described(function, set())
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise ValueError(
            f"{name} cannot be told from other functions ({error}), so a journal cannot know whether its points are of "
            "this one; define it in a module, with plain values around it, or leave journal= out"
        ) from error


def _described(function: Any, seen: set[int]) -> Any:
    if id(function) in seen:
        return "again"
    seen.add(id(function))
    if isinstance(function, functools.partial):
        return ["partial", _described(function.func, seen), contents(function.args), contents(function.keywords)]
    if isinstance(function, types.MethodType):
        return ["method", _described(function.__func__, seen), _described(function.__self__, seen)]
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if isinstance(function, types.BuiltinFunctionType | type):
        return [name, torch.__version__]
    if isinstance(function, types.FunctionType):
        if name.startswith("torch."):
            return [name, torch.__version__]
        if not (source := _source(function)):
            raise TypeError("its source is not there")
        if function.__name__ == "<lambda>":  # a line may have several
            code = function.__code__
            constants = [item for item in code.co_consts if not isinstance(item, types.CodeType)]
            source += sha256_bytes(repr([code.co_code, code.co_names, constants]).encode())
        defaults = [contents(function.__defaults__), contents(function.__kwdefaults__)]
        return [name, source, defaults, _surroundings(function, seen)]
    if isinstance(function, nn.Module):
        plain = {k: v for k, v in vars(function).items() if not k.startswith("_") and k != "training"}
        tensors = {key: tensor.detach() for key, tensor in function.state_dict().items()}
        return [name, model_code(function), repr(function), contents(plain), contents(tensors)]
    return [name, _source(type(function)), contents(vars(function))]


def _surroundings(function: types.FunctionType, seen: set[int]) -> list[Any]:
    """Return the values that a function closes over or reads from its module, functions of the module included."""
    captured = inspect.getclosurevars(function)
    found = []
    for key, value in sorted({**captured.globals, **captured.nonlocals}.items()):
        if isinstance(value, types.ModuleType | type):
            found.append([key, value.__name__])
        elif callable(value):
            own = getattr(value, "__module__", None) == function.__module__ or key in captured.nonlocals
            found.append([key, _described(value, seen) if own else f"{value.__module__}.{value.__qualname__}"])
        else:
            found.append([key, contents(value)])
    return found


def _source(thing: Any) -> str:
    """Return a hash of the source of a function or class, empty where there is none (an interactive session)."""
    try:
        return sha256_bytes(inspect.getsource(thing).encode())
    except (OSError, TypeError):
        return ""
