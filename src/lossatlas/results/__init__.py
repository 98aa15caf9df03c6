"""Result types with their provenance, stored as HDF5 with named axes, units and no time stamps."""

from lossatlas.results.curvature import HessianMap, SliceCurvatures
from lossatlas.results.curves import CurveLosses
from lossatlas.results.predictions import Predictions
from lossatlas.results.storage import UNITS, Floats, Integers, Mask, Stored, read_hdf5, write_hdf5
from lossatlas.results.surfaces import SAMPLED, VALUES, Line, Plane, Profile, SampledPlane
from lossatlas.results.training import History, Status, WeightHistogram
from lossatlas.results.trajectory import Trajectory

__all__ = [
    "SAMPLED",
    "UNITS",
    "VALUES",
    "CurveLosses",
    "Floats",
    "HessianMap",
    "History",
    "Integers",
    "Line",
    "Mask",
    "Plane",
    "Predictions",
    "Profile",
    "SampledPlane",
    "SliceCurvatures",
    "Status",
    "Stored",
    "Trajectory",
    "WeightHistogram",
    "read_hdf5",
    "write_hdf5",
]
