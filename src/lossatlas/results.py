"""Result types with their provenance, stored as HDF5 with named axes, units and no time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from lossatlas.files import canonical_json, replacing

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Status = Literal["finished", "diverged"]

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
}
# what h5py raises on files cut short or overwritten
_HDF5_ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError)
VALUES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


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
        arrays: per data set the names of its axes and its values.
        attributes: attributes of the file; anything but a string is stored as JSON.
    """
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in sorted(attributes.items()):
            file.attrs[name] = value if isinstance(value, str) else canonical_json(value)
        for name, values in axes.items():
            scale = file.create_dataset(name, data=np.asarray(values), track_times=False)
            scale.make_scale(name)
            scale.attrs["unit"] = UNITS.get(name, "1")
        for name, (dims, values) in arrays.items():
            data = file.create_dataset(name, data=np.asarray(values), track_times=False)
            data.attrs["unit"] = UNITS.get(name, "1")
            for i, dim in enumerate(dims):
                data.dims[i].label = dim
                data.dims[i].attach_scale(file[dim])


def read_hdf5(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_hdf5` wrote: arrays and attributes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is truncated, no HDF5, or holds another kind of result.
    """
    import json

    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: data[()] for name, data in file.items()}
            attributes = dict(file.attrs)
            provenance = json.loads(attributes.get("provenance", "{}"))
    except _HDF5_ERRORS as error:
        raise ValueError(f"{path} is damaged or not an HDF5 file ({error}); remove it and compute it again") from error
    if attributes.get("kind") != kind:
        raise ValueError(f"{path} holds {attributes.get('kind', 'an unknown result')!r}, expected {kind!r}")
    attributes["provenance"] = provenance
    return arrays, attributes


def _content(path: Path | str, result: type[Line | Plane | History], kind: str) -> dict[str, Any]:
    """Return the fields of a result from its file."""
    arrays, attributes = read_hdf5(path, kind)
    names = {item.name for item in fields(result)}
    found = arrays | {name: value for name, value in attributes.items() if name in names}
    if differing := names ^ found.keys():
        raise ValueError(f"{path} lacks or adds {', '.join(sorted(differing))}; remove it and compute it again")
    return found


@dataclass(frozen=True)
class Line:
    """Losses and accuracies along one direction from a checkpoint, at `alpha` multiples of it."""

    alpha: Floats  # (n,)
    train_loss: Floats  # (n,) mean cross-entropy, nats
    train_accuracy: Floats  # (n,) fraction
    test_loss: Floats  # (n,) NaN where no test set was given
    test_accuracy: Floats  # (n,)
    computed: Mask  # (n,)
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> None:
        """Write to an HDF5 file."""
        arrays = {name: (("alpha",), getattr(self, name)) for name in (*VALUES, "computed")}
        attributes = {"kind": "line", "note": self.note, "provenance": self.provenance}
        write_hdf5(path, {"alpha": self.alpha}, arrays, attributes)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read from an HDF5 file."""
        return cls(**_content(path, cls, "line"))


@dataclass(frozen=True)
class Plane:
    """Losses and accuracies on a rectangular grid spanned by two directions from a checkpoint."""

    x: Floats  # (nx,)
    y: Floats  # (ny,)
    train_loss: Floats  # (nx, ny) mean cross-entropy, nats
    train_accuracy: Floats  # (nx, ny) fraction
    test_loss: Floats  # (nx, ny) NaN where no test set was given
    test_accuracy: Floats  # (nx, ny)
    computed: Mask  # (nx, ny)
    note: str = ""  # why points are missing or not finite
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> None:
        """Write to an HDF5 file."""
        arrays = {name: (("x", "y"), getattr(self, name)) for name in (*VALUES, "computed")}
        attributes = {"kind": "plane", "note": self.note, "provenance": self.provenance}
        write_hdf5(path, {"x": self.x, "y": self.y}, arrays, attributes)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read from an HDF5 file."""
        return cls(**_content(path, cls, "plane"))


@dataclass(frozen=True)
class History:
    """One training: a row per epoch (row 0 is the initialization) and a value per optimizer step."""

    epoch: Integers  # (epochs + 1,)
    train_loss: Floats  # (epochs + 1,) clean training set, eval mode, nats
    train_error: Floats  # (epochs + 1,) fraction
    test_loss: Floats  # (epochs + 1,)
    test_error: Floats  # (epochs + 1,)
    learning_rate: Floats  # (epochs + 1,) of the epoch's last step; NaN in row 0
    weight_norm: Floats  # (epochs + 1,)
    step: Integers  # (steps,) 1, 2, ...
    step_learning_rate: Floats  # (steps,)
    step_weight_norm: Floats  # (steps,) after the step
    status: Status = "finished"
    note: str = ""  # where and why a run diverged
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> None:
        """Write to an HDF5 file."""
        rows = ("train_loss", "train_error", "test_loss", "test_error", "learning_rate", "weight_norm")
        arrays = {name: (("epoch",), getattr(self, name)) for name in rows}
        arrays |= {name: (("step",), getattr(self, name)) for name in ("step_learning_rate", "step_weight_norm")}
        attributes = {"kind": "history", "status": self.status, "note": self.note, "provenance": self.provenance}
        write_hdf5(path, {"epoch": self.epoch, "step": self.step}, arrays, attributes)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read from an HDF5 file."""
        return cls(**_content(path, cls, "history"))
