"""Arrays with named axes and units in HDF5, without time stamps: how every result type is stored."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lossatlas.files import canonical_json, sha256_bytes, write_bytes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

UNITS = {
    "train_loss": "nat per example",
    "test_loss": "nat per example",
    "train_accuracy": "fraction",
    "test_accuracy": "fraction",
    "train_error": "fraction",
    "test_error": "fraction",
    "x": "multiple of the stored direction x",
    "y": "multiple of the stored direction y",
    "alpha": "multiple of the stored direction",
    "epoch": "epoch",
    "step": "optimizer step",
    "learning_rate": "1",
    "step_learning_rate": "1",
    "weight_norm": "L2 norm of all weights with more than one dimension",
    "step_weight_norm": "L2 norm of all weights with more than one dimension",
    "computed": "true where the value was computed; false values are NaN",
    "curvature": "nat per example and squared multiple of the direction",
    "lambda_max": "nat per example and squared unit of weight",
    "lambda_min": "nat per example and squared unit of weight",
    "residual_max": "nat per example and squared unit of weight",
    "residual_min": "nat per example and squared unit of weight",
    "eigenvalue": "nat per example and squared unit of weight",
    "converged": "true where both ends are within the tolerance",
    "path_x": "coordinate of the stored direction x",
    "path_y": "coordinate of the stored direction y",
    "captured": "fraction of the path's variation",
    "spectrum": "fraction of the path's variation",
    "distance": "L2 distance to the last weights",
    "t": "parameter of the curve",
    **dict.fromkeys(("from_start", "from_end", "arc"), "L2 distance in all parameters"),
    "probability": "probability",
    "alignment": "absolute cosine",
    "edge": "weight",
    "count": "number of weights",
    "level": "fraction of the weights",
    "quantile": "absolute weight",
    "products": "Hessian-vector products",
    **dict.fromkeys(("train_n", "test_n"), "examples"),
    **dict.fromkeys(("train_loss_se", "test_loss_se"), "nat per example, standard error"),
    **dict.fromkeys(("train_accuracy_se", "test_accuracy_se"), "fraction, standard error"),
    **dict.fromkeys(("measured", "weighted", "slice_min", "slice_max"), "nat per example and squared unit of weight"),
}
# A user block, which HDF5 skips, names the format and has the hash of all that follows: no damage goes unnoticed, and
# what is damaged never reaches the library.
USER_BLOCK = 512
_NO_COORDINATES = "This is a netCDF dimension but not a netCDF variable. "
MARK = b"lossatlas result, HDF5 from byte 512, sha256 "
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# what h5py raises on files cut short or overwritten
_HDF5_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError)


def write_hdf5(
    path: Path | str,
    axes: Mapping[str, Any],
    arrays: Mapping[str, tuple[tuple[str, ...], Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Write arrays with their named axes as HDF5 dimension scales, atomically and byte-stable.

    Args:
        path: the file to write.
        axes: coordinate vectors by name.
        arrays: per data set the names of its axes and its values; an axis without coordinates is only a label.
        attributes: attributes of the file; anything but a string is stored as JSON.
    """
    import h5py

    # in memory: HDF5 does not survive a disk that is full when it closes a file
    memory: dict[str, Any] = {"driver": "core", "backing_store": False, "userblock_size": USER_BLOCK}
    with h5py.File("memory", "w", **memory) as file:
        for name, value in sorted(attributes.items()):
            file.attrs[name] = value if isinstance(value, str) else canonical_json(value)
        for name, values in axes.items():
            scale = file.create_dataset(name, data=np.asarray(values), track_times=False)
            scale.make_scale(name)
            scale.attrs["unit"] = UNITS.get(name, "1")
        for name, (_, values) in arrays.items():
            file.create_dataset(name, data=_one_nan(values), track_times=False).attrs["unit"] = UNITS.get(name, "1")
        for name, (dims, values) in arrays.items():
            for i, dim in enumerate(dims):
                if dim not in file:  # an axis without coordinates, as netCDF writes it
                    size = np.shape(values)[i]
                    file.create_dataset(dim, data=np.zeros(size, dtype=np.int8), track_times=False)
                    file[dim].make_scale(f"{_NO_COORDINATES}{size:10}")
                elif not file[dim].is_scale:
                    file[dim].make_scale(dim)
                file[name].dims[i].label = dim
                if name != dim:
                    file[name].dims[i].attach_scale(file[dim])
        file.flush()
        content = file.id.get_file_image()  # without the user block
    write_bytes(path, _head(content) + content)


def _one_nan(values: Any) -> npt.NDArray[Any]:
    """Return an array in which all NaN have the same bits: processors give them either sign."""
    array = np.asarray(values)
    return np.where(np.isnan(array), array.dtype.type(np.nan), array) if array.dtype.kind == "f" else array


def _head(content: bytes) -> bytes:
    return (MARK + sha256_bytes(content).encode() + b"\n").ljust(USER_BLOCK, b"\0")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a result file after a test of its checksum.

    Raises:
        ValueError: the file is damaged; the text names it.
    """
    import h5py

    whole = path.read_bytes()
    content = whole[USER_BLOCK:]
    if whole[:USER_BLOCK] == _head(content):
        with h5py.File(io.BytesIO(whole), "r") as file:
            yield file
    elif whole.startswith(_SIGNATURE):  # HDF5 of another program
        with h5py.File(path, "r") as file:
            if file.attrs.get("provenance") is not None:
                raise ValueError("it has no checksum")
            yield file
    else:
        raise ValueError("its content does not have the checksum at its beginning")


def _is_label(data: Any) -> bool:
    return bytes(data.attrs.get("NAME", b"")).startswith(_NO_COORDINATES.encode())


def read_hdf5(path: Path | str, *kinds: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_hdf5` wrote: arrays and attributes.

    Args:
        path: the file.
        kinds: of results that it may hold; the first is the one expected.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, no HDF5, or holds another kind of result.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with _opened(path) as file:
            arrays = {name: data[()] for name, data in file.items() if not _is_label(data)}
            attributes = dict(file.attrs)
            provenance = json.loads(attributes.get("provenance", "{}"))
    except _HDF5_ERRORS as error:
        raise ValueError(f"{path} is damaged or not an HDF5 file ({error}); remove it and compute it again") from error
    if attributes.get("kind") not in kinds:
        raise ValueError(f"{path} holds {attributes.get('kind', 'an unknown result')!r}, expected {kinds[0]!r}")
    attributes["provenance"] = provenance
    return arrays, attributes


def stored_kind(path: Path | str) -> str | None:
    """Return what kind of result a file says that it holds, None where it says nothing or cannot be read."""
    try:
        with _opened(Path(path)) as file:
            return str(file.attrs["kind"])
    except _HDF5_ERRORS:
        return None


class Stored:
    """What result types share: a frozen dataclass with a name per array, stored as one HDF5 file.

    A subclass says which of its arrays are axes (`AXES`) and along which axes the others lie (`DIMS`); its other
    fields are attributes of the file: strings, or tuples of strings.
    """

    KIND: ClassVar[str]
    AXES: ClassVar[tuple[str, ...]] = ()
    DIMS: ClassVar[Mapping[str, tuple[str, ...]]]

    def save(self, path: Path | str) -> None:
        """Write to an HDF5 file."""
        axes = {name: getattr(self, name) for name in self.AXES}
        arrays = {name: (dims, getattr(self, name)) for name, dims in self.DIMS.items()}
        others = [item.name for item in fields(self) if item.name not in {*axes, *arrays}]  # type: ignore[arg-type]
        write_hdf5(path, axes, arrays, {"kind": self.KIND, **{name: getattr(self, name) for name in others}})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read from an HDF5 file; where that holds the kind of a subclass, the result is of the subclass.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is damaged or holds another kind of result.
        """
        results = {**{result.KIND: result for result in cls.__subclasses__()}, cls.KIND: cls}
        arrays, attributes = read_hdf5(path, cls.KIND, *results)
        result = results[attributes["kind"]]
        types = {item.name: str(item.type) for item in fields(result)}  # type: ignore[arg-type]
        found = arrays | {name: value for name, value in attributes.items() if name in types}
        if differing := types.keys() ^ found.keys():
            raise ValueError(f"{path} lacks or adds {', '.join(sorted(differing))}; remove it and compute it again")
        for name in (name for name, kind in types.items() if kind.startswith("tuple[str")):
            found[name] = tuple(json.loads(found[name]))
        return result(**found)
