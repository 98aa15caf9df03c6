"""Triangle meshes for modelling programs, viewers and 3-D printers: OBJ, STL, PLY and glTF."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from lossatlas.exports.extra import needed
from lossatlas.exports.mesh import Mesh, Surface
from lossatlas.files import write_bytes
from lossatlas.report.figures.scale import losses_scale
from lossatlas.results import Floats, Plane

_HEADER = "loss surface: x, y in multiples of the directions, z the height"


def vertex_colours(result: Surface, mesh: Mesh) -> npt.NDArray[np.uint8]:
    """Return a colour per point, (n, 4) red, green, blue and opacity: that of the report's figures for a loss."""
    name = mesh.value.removeprefix("log10_")
    if isinstance(result, Plane) and name in ("train_loss", "test_loss"):
        scale = losses_scale([result])
        shown = scale.colours(scale.norm(mesh.values[f"log10_{name}"]), bytes=True)
    else:
        shown = mpl.colormaps["cividis"](_spread(mesh.values[mesh.value]), bytes=True)
    return np.asarray(shown, dtype=np.uint8)


def _spread(values: Floats) -> Floats:
    """Return values from 0, the lowest, to 1, the highest."""
    low, high = np.nanmin(values), np.nanmax(values)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def write_solid(path: Path, result: Surface, mesh: Mesh) -> None:
    """Write triangles in the format that the file's ending names, with a colour per point where it has them.

    STL has no colours and 32-bit numbers.

    Raises:
        ValueError: the library that writes the format is not installed.
    """
    trimesh = needed("trimesh", path)
    colours = vertex_colours(result, mesh)
    # else points that coincide would be joined, and the numbers of points would change
    made = trimesh.Trimesh(mesh.points, mesh.triangles, vertex_colors=colours, process=False, validate=False)
    kind = path.suffix.lower().removeprefix(".")
    options = {"obj": {"include_normals": False, "include_color": True, "header": _HEADER, "digits": 9}}
    content = made.export(file_type=kind, **options.get(kind, {}))
    write_bytes(path, content.encode() if isinstance(content, str) else content)
