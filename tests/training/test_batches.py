"""The order of examples and their division."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossatlas.randomness import generator
from lossatlas.training.batches import epoch_batches, micro_batches, steps_per_epoch

COUNTS = st.integers(1, 300)


def sizes(parts):
    return [len(part) for part in parts]


def batches(n, batch_size, seed=0, epoch=1):
    return epoch_batches(n, batch_size, generator(seed, "order", epoch))


@given(COUNTS, st.integers(1, 320), st.integers(0, 5))
def test_every_example_comes_once_and_steps_are_counted(n, batch_size, seed):
    found = batches(n, batch_size, seed)
    assert sorted(torch.cat(found).tolist()) == list(range(n))
    assert len(found) == steps_per_epoch(n, batch_size)
    assert max(sizes(found)) <= batch_size + 1
    if batch_size > 1 and n > 1:
        assert min(sizes(found)) > 1


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"),
    [
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (8, 4, [4, 4]),
        (5, 4, [5]),
        (4, 8, [4]),
        (1, 8, [1]),
        (3, 2, [3]),
        (3, 1, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_a_last_batch_of_one_joins_the_one_before(n, batch_size, expected):
    assert sizes(batches(n, batch_size)) == expected


def test_batches_of_the_papers():
    assert steps_per_epoch(50000, 128) == 391
    assert steps_per_epoch(50000, 8192) == 7
    assert steps_per_epoch(50000, 64) == 782


def test_the_order_is_that_of_seed_and_epoch():
    def order(seed, epoch):
        return torch.cat(batches(50, 8, seed, epoch)).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (1, 2, 3)}) == 6
    assert order(0, 1) != list(range(50))
    expected = torch.randperm(50, generator=generator(0, "order", 1)).tolist()
    assert order(0, 1) == expected  # the batch size only divides it


@given(st.integers(1, 600), st.integers(2, 600))
def test_micro_batches_keep_the_batch_and_never_leave_one_alone(n, largest):
    batch = torch.arange(n)
    parts = micro_batches(batch, largest)
    assert torch.equal(torch.cat(parts), batch)
    assert max(sizes(parts)) <= (largest if largest > 2 or n % 2 == 0 or n == 1 else 3)
    assert max(sizes(parts)) - min(sizes(parts)) <= 1
    assert n == 1 or min(sizes(parts)) > 1
    if largest > 2:
        assert len(parts) == math.ceil(n / largest)


@pytest.mark.parametrize(
    ("n", "largest", "expected"),
    [
        (128, None, [128]),
        (128, 128, [128]),
        (129, 128, [65, 64]),
        (3, 2, [3]),
        (5, 2, [3, 2]),
        (8, 2, [2, 2, 2, 2]),
        (7, 3, [3, 2, 2]),
        (8192, 3000, [2731, 2731, 2730]),
        (2, 2, [2]),
        (1, 2, [1]),
    ],
)
def test_sizes_of_micro_batches(n, largest, expected):
    assert sizes(micro_batches(torch.arange(n), largest)) == expected
