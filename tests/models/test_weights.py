from __future__ import annotations

import hashlib
import struct

import pytest
import torch

from lossatlas.models.weights import state_of, weights_hash


def test_the_hash_is_pinned():
    state = {"b": torch.tensor(1.0, dtype=torch.float64), "a": torch.tensor([0.5, -2.0])}
    content = b"a float32 (2,)\n" + struct.pack("<2f", 0.5, -2.0) + b"b float64 ()\n" + struct.pack("<d", 1.0)
    assert weights_hash(state) == hashlib.sha256(content).hexdigest()
    assert weights_hash(state) == "260a1286bd04244c84a5dbab36a3ab425eea81b694f2e9c013bb4184899f618f"


def test_the_hash_depends_on_names_dtypes_shapes_and_bytes_only():
    weight = torch.arange(16.0).reshape(1, 4, 2, 2)
    digest = weights_hash({"w": weight, "v": weight})
    assert weights_hash({"v": weight.clone(), "w": weight.to(memory_format=torch.channels_last)}) == digest
    assert weights_hash({"v": weight, "x": weight}) != digest
    assert weights_hash({"v": weight.double(), "w": weight}) != digest
    assert weights_hash({"v": weight.reshape(4, 4), "w": weight}) != digest
    assert weights_hash({"v": weight + 1, "w": weight}) != digest


def test_running_statistics_count_and_counters_do_not():
    state = {"bn.running_mean": torch.zeros(2), "bn.num_batches_tracked": torch.tensor(0)}
    digest = weights_hash(state)
    assert weights_hash({**state, "bn.num_batches_tracked": torch.tensor(9)}) == digest
    assert weights_hash({**state, "bn.num_batches_tracked": torch.tensor(9.0)}) == digest
    assert weights_hash({**state, "bn.running_mean": torch.ones(2)}) != digest


def test_bfloat16_and_empty_tensors_are_hashed():
    assert weights_hash({"w": torch.ones(3, dtype=torch.bfloat16), "e": torch.empty(0, 4)})


def test_state_of_copies(tiny):
    state = state_of(tiny.to(memory_format=torch.channels_last))
    assert state.keys() == tiny.state_dict().keys()
    assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in state.values())
    state["linear.weight"].fill_(3)
    assert not (tiny.linear.weight == 3).any()


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"state\['epoch'\] is of type int; allowed: tensors only"):
        state_of({"w": torch.zeros(1), "epoch": 3})
