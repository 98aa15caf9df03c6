"""One function that writes a result in the format that a file's ending names."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from lossatlas.exports.arrays import write_netcdf, write_npz
from lossatlas.exports.li_surfaces import write_li_surface
from lossatlas.exports.mesh import Scale, Surface, surface_mesh
from lossatlas.exports.solids import write_solid
from lossatlas.exports.vtp import write_vtp
from lossatlas.results import Line, Plane, Stored
from lossatlas.results.storage import MARK, stored_kind

FORMATS = {
    ".vtp": "VTK PolyData, for ParaView: a surface with every quantity as point data",
    ".obj": "Wavefront OBJ: a surface with a colour per point",
    ".stl": "STL, for 3-D printing: the surface alone",
    ".ply": "PLY: a surface with a colour per point",
    ".glb": "binary glTF: a surface with a colour per point",
    ".npz": "NumPy arrays by name",
    ".nc": "netCDF 4, for xarray: arrays with named axes and units",
    ".h5": "a surface file of Li et al.'s program (a plane or a line)",
}
MESHES = (".vtp", ".obj", ".stl", ".ply", ".glb")


def export(
    result: Stored,
    path: Path | str,
    *,
    value: str | None = None,
    log: bool = False,
    cap: float | None = None,
    scale: Scale = 1.0,
) -> Path:
    """Write a result in another program's format, named by the file's ending (`lossatlas.exports.FORMATS`).

    `.vtp`, `.obj`, `.stl`, `.ply`, `.glb` are surfaces over planes of losses and over Hessian maps; x and y are
    multiples of the directions, points without a finite height are holes, and `value`, `log`, `cap` and `scale` shape
    the height. `.npz` and `.nc` take every result, `.h5` planes and lines. `result.save(path)` writes the
    program's own format.

    Args:
        result: a result, from `lossatlas.plane` and the like or from `lossatlas.exports.read_result`.
        path: the file to write or replace.
        value: the quantity that the height shows: the training loss if absent, or |lambda_min / lambda_max|.
        log: the height is the decimal logarithm; zeros lie at the lowest positive value.
        cap: larger values are cut off at this height, before `log`.
        scale: factor of the height; `fit` makes it span half of the longer side of the plane.

    Returns:
        The file written.

    Raises:
        ValueError: an unknown ending, a result that the format has no place for, an option that does not fit, a library
            that is not installed, or a `.h5` file of this program in that place.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ValueError(f"cannot write {path.name!r}: endings are {', '.join(FORMATS)}")
    if kind in MESHES:
        if not isinstance(result, get_args(Surface)):
            raise ValueError(f"{kind} files hold surfaces over a plane, not a {result.KIND}; take .npz or .nc")
        mesh = surface_mesh(result, value=value, log=log, cap=cap, scale=scale)
        if kind == ".vtp":
            write_vtp(path, mesh)
        else:
            write_solid(path, result, mesh)
        return path
    if value is not None or log or cap is not None or scale != 1.0:
        raise ValueError(f"value, log, cap and scale shape surfaces ({', '.join(MESHES)}); leave them out for {kind}")
    if kind == ".h5":
        if not isinstance(result, Plane | Line):
            raise ValueError(f".h5 surface files hold planes and lines, not a {result.KIND}; take .npz or .nc")
        if _is_result(path):
            raise ValueError(f"{path} is a result of this program, which surface files of another one do not replace")
        write_li_surface(path, result)
    elif kind == ".npz":
        write_npz(path, result)
    else:
        write_netcdf(path, result)
    return path


def _is_result(path: Path) -> bool:
    """Tell whether a file is a result of this program, damaged ones included."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(MARK)) == MARK or stored_kind(path) is not None
