"""One function that writes a result in the format that a file's ending names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from lossatlas.exports.arrays import write_netcdf, write_npz
from lossatlas.exports.extra import needed
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
_LIBRARIES = {
    ".vtp": ("pyevtk.vtk",),
    **dict.fromkeys((".obj", ".stl", ".ply", ".glb"), ("trimesh",)),
    ".nc": ("xarray", "h5netcdf"),
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
    check_format(path, type(result))
    kind = path.suffix.lower()
    if kind in MESHES and isinstance(result, get_args(Surface)):
        mesh = surface_mesh(result, value=value, log=log, cap=cap, scale=scale)
        if kind == ".vtp":
            write_vtp(path, mesh)
        else:
            write_solid(path, result, mesh)
        return path
    if value is not None or log or cap is not None or scale != 1.0:
        raise ValueError(f"value, log, cap and scale shape surfaces ({', '.join(MESHES)}); leave them out for {kind}")
    if kind == ".h5" and isinstance(result, Plane | Line):
        write_li_surface(path, result)
    elif kind == ".npz":
        write_npz(path, result)
    else:
        write_netcdf(path, result)
    return path


def check_format(path: Path, made: type[Stored], sizes: Sequence[int] = ()) -> None:
    """Refuse a file for a kind of result before there is any.

    Args:
        path: the file.
        made: the type of the result.
        sizes: number of points along each axis, if that is known.

    Raises:
        ValueError: an unknown ending, a result that the format has no place for, a surface without area, a library that
            is not installed, or a `.h5` file of this program in that place.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ValueError(f"cannot write {path.name!r}: endings are {', '.join(FORMATS)}")
    if kind in MESHES and not issubclass(made, get_args(Surface)):
        raise ValueError(f"{kind} files hold surfaces over a plane, not a {made.KIND}; take .npz or .nc")
    if kind in MESHES and sizes and min(sizes) < 2:
        shape = " x ".join(map(str, sizes))
        raise ValueError(
            f"cannot write {path.name!r}: the plane has {shape} points; a surface needs at least 2 along both axes"
        )
    if kind == ".h5":
        if not issubclass(made, Plane | Line):
            raise ValueError(f".h5 surface files hold planes and lines, not a {made.KIND}; take .npz or .nc")
        if _is_result(path):
            raise ValueError(f"{path} is a result of this program, which surface files of another one do not replace")
    for module in _LIBRARIES.get(kind, ()):
        needed(module, path)


def _is_result(path: Path) -> bool:
    """Tell whether a file is a result of this program, damaged ones included."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(MARK)) == MARK or stored_kind(path) is not None
