"""Objects of classes that settings name, as Hydra does: `{_target_: package.Class, option: value}`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

# distributions that hold the classes people name, where they are called otherwise
_DISTRIBUTIONS = {
    "dask_cuda": "dask-cuda",
    "dask_jobqueue": "dask-jobqueue",
    "dask_kubernetes": "dask-kubernetes",
    "dask_mpi": "dask-mpi",
    "distributed": "lossatlas[cluster]",
}


def build(settings: Mapping[str, Any], *, key: str) -> Any:
    """Return `_target_(**other settings)`.

    Args:
        settings: with the dotted name of a class under `_target_`.
        key: where they stand, for messages.

    Raises:
        ValueError: no class of that name can be imported, or it refuses its options; one line with the remedy.
    """
    name, options = str(settings["_target_"]), {k: v for k, v in settings.items() if k != "_target_"}
    module, _, attribute = name.rpartition(".")
    try:
        made = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        package = _DISTRIBUTIONS.get(missing, missing)
        raise ValueError(
            f"{key}._target_ = {name!r} needs the module {missing!r}, which is not installed; "
            f'run `pip install "{package}"` on this machine and on the workers'
        ) from error
    except (ImportError, ValueError, RuntimeError) as error:  # such as an MPI that is not there
        raise ValueError(f"{key}._target_ = {name!r} cannot be imported: {' '.join(str(error).split())}") from error
    except AttributeError as error:
        raise ValueError(
            f"{key}._target_ = {name!r}: module {module!r} has no {attribute!r}; look up its name"
        ) from error
    try:
        return made(**options)
    except TypeError as error:
        raise ValueError(f"{key}: {name} refuses its options ({error}); change or remove them") from error
    except RuntimeError as error:  # such as a job system that is not there
        raise ValueError(f"{key}: {name} does not start: {' '.join(str(error).split())}") from error
