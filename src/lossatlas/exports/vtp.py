"""VTK PolyData (`.vtp`), which ParaView and every VTK program open."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from lossatlas.exports.extra import needed
from lossatlas.exports.mesh import Mesh
from lossatlas.files import write_bytes


def write_vtp(path: Path, mesh: Mesh) -> None:
    """Write the surface with all its quantities as point data; the one that the height shows is the active one.

    Raises:
        ValueError: the library that writes the format is not installed.
    """
    vtk = needed("pyevtk.vtk", path)
    columns = tuple(np.ascontiguousarray(column) for column in mesh.points.T)
    arrays = {name: np.ascontiguousarray(values) for name, values in mesh.values.items()}
    corners = {"connectivity": mesh.cells.ravel(), "offsets": 4 * np.arange(1, len(mesh.cells) + 1)}
    # the library takes a name without its ending and writes there at once
    with tempfile.TemporaryDirectory() as folder:
        file = vtk.VtkFile(str(Path(folder) / "surface"), vtk.VtkPolyData)
        file.openGrid()
        file.openPiece(npoints=len(mesh.points), npolys=len(mesh.cells))
        file.openData("Point", scalars=mesh.value)
        for name, values in arrays.items():
            file.addData(name, values)
        file.closeData("Point")
        file.openElement("Points")
        file.addData("points", columns)
        file.closeElement("Points")
        file.openElement("Polys")
        for name, numbers in corners.items():
            file.addData(name, numbers)
        file.closeElement("Polys")
        file.closePiece()
        file.closeGrid()
        for content in (*arrays.values(), columns, *corners.values()):  # the order of the headers above
            file.appendData(content)
        file.save()
        write_bytes(path, Path(file.getFileName()).read_bytes())
