"""Memory that a process has freed and needs again soon."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
# glibc's `mallopt`: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, and the values that it comes to by itself for large blocks
_TRIM, _MMAP = -1, -3
_LARGEST = 32 * 2**20


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, where the environment tells it to give memory back at once.

    Dask starts its workers so (`MALLOC_TRIM_THRESHOLD_=65536`). Each layer's output is then memory that the system hands
    out and clears anew. Nothing happens where the variable is not set, or the C library is another than glibc.

    Returns:
        Whether anything was changed.
    """
    if _VARIABLE not in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(_MMAP, _LARGEST) and mallopt(_TRIM, 2 * _LARGEST))
