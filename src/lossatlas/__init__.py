"""Reproducibility suite for the geometry of neural network losses.

A plane about your own network, in three lines::

    import lossatlas
    surface = lossatlas.plane(model, (train_images, train_labels), (test_images, test_labels), seed=0)
    lossatlas.plot(surface).savefig("surface.png")

The names below are imported when they are first used, so `import lossatlas` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossatlas.exports import export, read_result, to_xarray
    from lossatlas.landscape.connecting import connect
    from lossatlas.landscape.curve_losses import curve_losses
    from lossatlas.landscape.curves import Curve
    from lossatlas.landscape.directions import Direction, direction_between, random_direction
    from lossatlas.landscape.hessian import hessian_map
    from lossatlas.landscape.li_files import read_li_directions, write_li_directions
    from lossatlas.landscape.profiles import profile
    from lossatlas.landscape.sampling import Sampling
    from lossatlas.landscape.spanning import plane_through
    from lossatlas.landscape.surfaces import line, plane
    from lossatlas.landscape.trajectories import trajectory
    from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
    from lossatlas.report.animations import animate, animate_planes
    from lossatlas.report.single import plot
    from lossatlas.results import CurveLosses, HessianMap, History, Line, Plane, Profile, SampledPlane, Trajectory

_HOMES = {
    "Curve": "landscape.curves",
    "CurveLosses": "results",
    "Direction": "landscape.directions",
    "HessianMap": "results",
    "History": "results",
    "Line": "results",
    "Plane": "results",
    "Profile": "results",
    "SampledPlane": "results",
    "Sampling": "landscape.sampling",
    "Trajectory": "results",
    "animate": "report.animations",
    "animate_planes": "report.animations",
    "connect": "landscape.connecting",
    "curve_losses": "landscape.curve_losses",
    "direction_between": "landscape.directions",
    "export": "exports",
    "hessian_map": "landscape.hessian",
    "line": "landscape.surfaces",
    "load_checkpoint": "models.checkpoint",
    "plane": "landscape.surfaces",
    "plane_through": "landscape.spanning",
    "plot": "report.single",
    "profile": "landscape.profiles",
    "random_direction": "landscape.directions",
    "read_li_directions": "landscape.li_files",
    "read_result": "exports",
    "save_checkpoint": "models.checkpoint",
    "to_xarray": "exports",
    "trajectory": "landscape.trajectories",
    "write_li_directions": "landscape.li_files",
}

__all__ = [
    "Curve",
    "CurveLosses",
    "Direction",
    "HessianMap",
    "History",
    "Line",
    "Plane",
    "Profile",
    "SampledPlane",
    "Sampling",
    "Trajectory",
    "animate",
    "animate_planes",
    "connect",
    "curve_losses",
    "direction_between",
    "export",
    "hessian_map",
    "line",
    "load_checkpoint",
    "plane",
    "plane_through",
    "plot",
    "profile",
    "random_direction",
    "read_li_directions",
    "read_result",
    "save_checkpoint",
    "to_xarray",
    "trajectory",
    "write_li_directions",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lossatlas' has no attribute {name!r}")
    return getattr(import_module(f"lossatlas.{_HOMES[name]}"), name)
