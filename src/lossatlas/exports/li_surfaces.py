"""Surface files of the program of Li et al. (tomgoldstein/loss-landscape), read and written.

Such an HDF5 file holds `xcoordinates`, `ycoordinates` (absent for a line), and `train_loss`, `train_acc`, `test_loss`,
`test_acc` as far as they were computed; accuracies are percent, and -1 stands where nothing was computed yet.

The program allocates a surface with the shape (nx, ny), but fills it point by point with y outside and x inside. So the
numbers of a square file are transposed, [y, x], and those of another file are only right in the order they lie in. Both
are put right here: results have the axes (x, y).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.files import replacing
from lossatlas.results import VALUES, Floats, Line, Mask, Plane

_MISSING = -1.0  # that program's mark of a value that was not computed
_THEIRS = {name: name.replace("accuracy", "acc") for name in VALUES}
_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError)


def is_li_surface(path: Path) -> bool:
    """Tell whether a file is a surface file of that program."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "xcoordinates" in file
    except _ERRORS:
        return False


def read_li_surface(path: Path | str) -> Plane | Line:
    """Read a surface file: a plane, or a line where it has no `ycoordinates`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or no surface file.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            x = np.asarray(file["xcoordinates"], dtype=np.float64)
            y = np.asarray(file["ycoordinates"], dtype=np.float64) if "ycoordinates" in file else None
            stored = {ours: np.asarray(file[name], dtype=np.float64) for ours, name in _THEIRS.items() if name in file}
            where = _text(file["dir_file"][()] if "dir_file" in file else file.attrs.get("dir_file", ""))
    except _ERRORS as error:
        raise ValueError(f"{path} is damaged or no surface file of Li et al.'s program ({error})") from error
    shape = (len(x),) if y is None else (len(x), len(y))
    for name, values in stored.items():
        if values.size != np.prod(shape):
            raise ValueError(f"{path}: {_THEIRS[name]} has the shape {values.shape}, the coordinates give {shape}")
    found = {name: _ours(values, shape) for name, values in stored.items()}
    # a point counts as computed where it has a training or a test loss
    there = {name: values != _MISSING for name, values in found.items() if name.endswith("loss")}
    computed = np.any([np.zeros(shape, dtype=bool), *there.values()], axis=0)
    others: dict[str, Any] = {
        **{name: _values(found, there, name, shape) for name in VALUES},
        "computed": computed,
        "note": _note(computed, there),
        "provenance": {"format": "loss-landscape", "direction_file": where},
    }
    return Line(alpha=x, **others) if y is None else Plane(x=x, y=y, **others)


def write_li_surface(path: Path | str, result: Plane | Line, *, direction_file: str = "") -> None:
    """Write a plane or a line as a surface file, for that program's own plots.

    Standard errors of a sampled plane, notes and provenance have no place there.

    Args:
        path: the file.
        result: what to write; what has no value anywhere (no test set) is left out.
        direction_file: where the directions lie, which the program's plots of paths look for.
    """
    import h5py

    line = isinstance(result, Line)
    coordinates = (result.alpha,) if isinstance(result, Line) else (result.x, result.y)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("dir_file", data=direction_file, track_times=False)
        for axis, values in zip("xy", coordinates, strict=False):
            file.create_dataset(f"{axis}coordinates", data=values, track_times=False)
        for name, theirs in _THEIRS.items():
            values = getattr(result, name)
            if not result.computed.any() or np.isnan(values[result.computed]).all():
                continue
            scaled = 100 * values if name.endswith("accuracy") else values
            marked = np.where(result.computed, scaled, _MISSING)
            file.create_dataset(theirs, data=marked if line else marked.T.reshape(marked.shape), track_times=False)


def _ours(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Return values (nx, ny) from the order with y outside."""
    return values.reshape(shape[::-1]).T


def _values(found: Mapping[str, Floats], there: Mapping[str, Mask], name: str, shape: tuple[int, ...]) -> Floats:
    """Return a quantity in our unit, NaN where the loss of the same data is marked as missing."""
    if name not in found:
        return np.full(shape, np.nan)
    values = found[name] / 100 if name.endswith("accuracy") else found[name]
    return np.where(there.get(f"{name.partition('_')[0]}_loss", False), values, np.nan)


def _note(computed: Mask, there: Mapping[str, Mask]) -> str:
    """Say how many points are missing, and how many have one of two losses only."""
    counts = {"points not computed": int((~computed).sum())}
    counts |= {
        f"points without {name.replace('_', ' ')}": int((computed & ~mask).sum()) for name, mask in there.items()
    }
    return "; ".join(f"{what}: {count}" for what, count in counts.items() if count)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
