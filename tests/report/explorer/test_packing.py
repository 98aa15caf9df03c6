from __future__ import annotations

import base64
import json
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lossatlas.report.explorer.packing import pack, unpack


@given(arrays(np.float64, array_shapes(min_dims=1, max_dims=2, max_side=5), elements=st.floats(width=32)))
def test_what_is_packed_comes_back_and_what_is_not_finite_is_a_hole(values: np.ndarray) -> None:
    packed = json.loads(json.dumps(pack(values), allow_nan=False))
    wanted = np.where(np.isfinite(values), values, np.nan).astype("<f4")
    np.testing.assert_array_equal(unpack(packed), wanted)
    assert packed["shape"] == list(values.shape)


def test_bytes_are_little_endian_in_rows() -> None:
    packed = pack([[1.0, 2.0], [3.0, 4.0]])
    assert struct.unpack("<4f", base64.b64decode(packed["f4"])) == (1.0, 2.0, 3.0, 4.0)


def test_what_float32_cannot_hold_is_a_hole() -> None:
    assert np.isnan(unpack(pack([1e60, -1e60, np.inf]))).all()


def test_masks_become_ones_and_zeros() -> None:
    assert unpack(pack(np.array([True, False]))).tolist() == [1.0, 0.0]
