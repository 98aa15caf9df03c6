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
    from lossatlas.landscape.connecting import connect
    from lossatlas.landscape.curve_losses import curve_losses
    from lossatlas.landscape.curves import Curve
    from lossatlas.landscape.directions import Direction, direction_between, random_direction
    from lossatlas.landscape.hessian import hessian_map
    from lossatlas.landscape.profiles import profile
    from lossatlas.landscape.sampling import Sampling
    from lossatlas.landscape.spanning import plane_through
    from lossatlas.landscape.surfaces import line, plane
    from lossatlas.landscape.trajectories import trajectory
    from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
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
    "connect": "landscape.connecting",
    "curve_losses": "landscape.curve_losses",
    "direction_between": "landscape.directions",
    "hessian_map": "landscape.hessian",
    "line": "landscape.surfaces",
    "load_checkpoint": "models.checkpoint",
    "plane": "landscape.surfaces",
    "plane_through": "landscape.spanning",
    "plot": "report.single",
    "profile": "landscape.profiles",
    "random_direction": "landscape.directions",
    "save_checkpoint": "models.checkpoint",
    "trajectory": "landscape.trajectories",
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
    "connect",
    "curve_losses",
    "direction_between",
    "hessian_map",
    "line",
    "load_checkpoint",
    "plane",
    "plane_through",
    "plot",
    "profile",
    "random_direction",
    "save_checkpoint",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lossatlas' has no attribute {name!r}")
    return getattr(import_module(f"lossatlas.{_HOMES[name]}"), name)
