"""Arrays as compact JSON: base64 of little-endian float32 with a shape, which the page turns into typed arrays."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

Packed = dict[str, Any]


def pack(values: npt.ArrayLike) -> Packed:
    """Return an array as `{"shape": [...], "f4": "..."}`; what is not finite in float32 becomes NaN, a hole.

    A float32 holds seven digits, more than a picture or a hovered value shows, and a third of the text of JSON numbers.
    """
    with np.errstate(over="ignore"):
        narrow = np.asarray(values, dtype=np.float64).astype("<f4")
    narrow[~np.isfinite(narrow)] = np.nan
    return {"shape": list(narrow.shape), "f4": base64.b64encode(narrow.tobytes()).decode()}


def unpack(packed: Packed) -> npt.NDArray[np.float32]:
    """Return the array that `pack` made into text."""
    return np.frombuffer(base64.b64decode(packed["f4"]), dtype="<f4").reshape(packed["shape"])
