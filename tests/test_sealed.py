import random

import numpy as np
import pytest

from lossatlas.sealed import kept_values, read_array, read_sealed, read_values, write_array, write_sealed, write_values

KINDS = {
    "bytes": (lambda path: write_sealed(path, b"content"), read_sealed),
    "array": (lambda path: write_array(path, np.linspace(0, 1, 9)), lambda path: read_array(path).tobytes()),
    "values": (lambda path: write_values(path, {"b": 1 / 3, "a": [1, None]}), read_values),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_and_every_cut_is_refused_by_name(tmp_path, kind):
    write, read = KINDS[kind]
    path, draws = tmp_path / "kept", random.Random(0)
    write(path)
    whole = path.read_bytes()
    read(path)
    altered = [whole[:i] for i in range(len(whole))]
    for i in range(len(whole)):
        other = bytearray(whole)
        other[i] ^= 1 << draws.randrange(8)
        altered.append(bytes(other))
    for content in altered:
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"^{path} is damaged: it was cut short, .*; delete it, and what it held is"
        ):
            read(path)


def test_values_come_back_bit_by_bit(tmp_path):
    array = np.array([np.nan, np.inf, -0.0, 5e-324])
    write_array(tmp_path / "a", array)
    assert read_array(tmp_path / "a").tobytes() == array.tobytes() == np.load(tmp_path / "a").tobytes()
    write_values(tmp_path / "v", {"x": 0.1 + 0.2, "y": float("inf"), 3: "ä"})
    assert read_values(tmp_path / "v") == {"x": 0.1 + 0.2, "y": None, "3": "ä"}


def test_values_are_computed_once(tmp_path):
    asked = []

    def compute():
        asked.append(1)
        return [len(asked)]

    assert kept_values(tmp_path / "v", compute) == kept_values(tmp_path / "v", compute) == [1]
