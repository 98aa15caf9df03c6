"""What a worker needs for many small tasks, such as a network and images: it travels once, not with every task.

The contents lie in a file that workers on the same file system read; a worker that does not see the file answers that
it wants them, and gets them with the same task once more. Either way they are kept until others take their place.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import pickle
import time
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from lossatlas.closure import SourceChangedError, package_hash
from lossatlas.engine.executors import taking_turns

Value = TypeVar("Value")
# returns what computes the value at a place; called once in a worker
Make = Callable[[], Callable[[int], Value]]
# what a worker keeps at most: this task's network and images, and those of one other
_KEPT = 2


@dataclass(frozen=True)
class Parcel:
    """Where the contents are, the hash of their bytes, and the source they were packed with."""

    key: str
    path: str
    package: str


@dataclass(frozen=True)
class Done:
    """Values at the places of a task, or that the worker wants the contents; seconds include the making."""

    values: Sequence[Any] | None
    seconds: float = 0.0


@dataclass
class _Station:
    """What was made of a parcel."""

    at: Callable[[int], Any] | None = None


# touched by one task at a time
_stations: OrderedDict[str, _Station] = OrderedDict()


def packed(make: Make[Any]) -> bytes:
    """Return a maker as bytes.

    Raises:
        ValueError: it holds something that cannot be sent to another process.
    """
    stream = io.BytesIO()
    try:
        _pickler(stream).dump(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the network or its data cannot be sent to workers ({error}); define its class in a module, at top level"
        ) from error
    return stream.getvalue()


def _own_memory(tensor: Tensor) -> Any:
    """Pickle some images of many without the others: a view is pickled with all that it is a view of."""
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    own: Any = tensor if whole else tensor.clone()
    return own.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _pickler(stream: io.BytesIO) -> Any:
    """Return what pickles classes of a script or notebook by value, where it is installed (Dask brings it)."""
    try:
        from cloudpickle import Pickler

        table = Pickler.dispatch_table
    except ImportError:
        from pickle import Pickler

        table = copyreg.dispatch_table
    tables = {"dispatch_table": ChainMap({Tensor: _own_memory}, table)}
    return type("Packer", (Pickler,), tables)(stream, pickle.HIGHEST_PROTOCOL)


def address(contents: bytes, folder: Path) -> Parcel:
    """Return the parcel of these contents in a folder; nothing is written."""
    key = hashlib.sha256(contents).hexdigest()
    return Parcel(key, str(folder.resolve() / f"{key[:16]}.parcel"), package_hash())


def work(parcel: Parcel, places: Sequence[int], contents: bytes | None = None) -> Done:
    """Compute the values at some places; the task that workers run, one at a time in a process, with one thread.

    Raises:
        SourceChangedError: the worker runs other sources than those that the parcel was packed with.
    """
    if parcel.package != package_hash():
        raise SourceChangedError(
            "a worker runs other sources of this package; install the same version on all machines, start the workers "
            "anew and run the same command again"
        )
    with taking_turns():
        begin = time.perf_counter()
        station = _station(parcel.key)
        if station.at is None:
            found = contents if contents is not None else _read(parcel)
            if found is None:
                return Done(None)
            station.at = pickle.loads(found)()
        values = [station.at(i) for i in places]
    return Done(values, time.perf_counter() - begin)


def _station(key: str) -> _Station:
    station = _stations.setdefault(key, _Station())
    _stations.move_to_end(key)
    while len(_stations) > _KEPT:
        _stations.popitem(last=False)
    return station


def _read(parcel: Parcel) -> bytes | None:
    """Return the contents from the file; None if it is not here, or not these."""
    try:
        found = Path(parcel.path).read_bytes()
    except OSError:
        return None
    return found if hashlib.sha256(found).hexdigest() == parcel.key else None
