"""Any result as NumPy arrays (`.npz`), as an xarray data set, and as netCDF (`.nc`)."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lossatlas.exports.extra import needed
from lossatlas.files import canonical_json, replacing
from lossatlas.results import UNITS, Stored

if TYPE_CHECKING:
    from xarray import Dataset

# tuples of strings that name the places along an axis
_LABELS = {"rows": "row", "members": "member"}


def _contents(result: Stored) -> dict[str, Any]:
    return {item.name: getattr(result, item.name) for item in fields(result)}  # type: ignore[arg-type]


def write_npz(path: Path, result: Stored) -> None:
    """Write every array under its name, and everything else as strings; the provenance is JSON.

    `numpy.load` reads it without pickles.
    """
    plain: dict[str, Any] = {
        name: np.array(value) if isinstance(value, np.ndarray | str | tuple) else np.array(canonical_json(value))
        for name, value in {"kind": result.KIND, **_contents(result)}.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **plain)


def to_xarray(result: Stored) -> Dataset:
    """Return a result as an xarray data set with named axes, their coordinates, and units.

    Raises:
        ValueError: xarray is not installed.
    """
    xarray = needed("xarray", Path("dataset.nc"))
    contents, dims = _contents(result), {**{name: (name,) for name in result.AXES}, **result.DIMS}
    labels = {axis: contents[name] for name, axis in _LABELS.items() if name in contents}
    arrays = {name: (axes, contents[name], {"units": UNITS.get(name, "1")}) for name, axes in dims.items()}
    others = {name: value for name, value in contents.items() if name not in dims and _LABELS.get(name) not in labels}
    return xarray.Dataset(  # type: ignore[no-any-return]
        {name: made for name, made in arrays.items() if name not in result.AXES},
        coords={name: arrays[name] for name in result.AXES} | {axis: (axis, list(n)) for axis, n in labels.items()},
        attrs={"kind": result.KIND, **{name: _attribute(value) for name, value in others.items()}},
    )


def _attribute(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def write_netcdf(path: Path, result: Stored) -> None:
    """Write netCDF 4, which is HDF5 with every axis named: `xarray.open_dataset(path)`.

    Raises:
        ValueError: a library that writes the format is not installed.
    """
    needed("h5netcdf", path)
    dataset = to_xarray(result)
    with replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
