"""Results in other programs' formats: meshes, tables of numbers, and the files of Li et al.'s program."""

from lossatlas.exports.arrays import to_xarray
from lossatlas.exports.formats import FORMATS, export
from lossatlas.exports.sources import read_result

__all__ = ["FORMATS", "export", "read_result", "to_xarray"]
