"""Data sets: where they come from, parts of them, and what a network sees of them.

Importing this needs neither torchvision nor scikit-learn nor Pillow; a source imports what it reads with.
"""

from lossatlas.data.augmentation import Moves, augment, draw_moves, moved
from lossatlas.data.cache import load_dataset
from lossatlas.data.dataset import DataSet
from lossatlas.data.normalization import NORMALIZATIONS, Normalization, NormalizationName, normalize
from lossatlas.data.sources import SourceKind, load_source
from lossatlas.data.subsets import SubsetKind, subset

__all__ = [
    "NORMALIZATIONS",
    "DataSet",
    "Moves",
    "Normalization",
    "NormalizationName",
    "SourceKind",
    "SubsetKind",
    "augment",
    "draw_moves",
    "load_dataset",
    "load_source",
    "moved",
    "normalize",
    "subset",
]
