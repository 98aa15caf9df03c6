import hashlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from lossatlas.randomness import derived_seed, generator

NAMES = st.lists(st.text(max_size=6) | st.integers(0, 3).map(str), max_size=3).map(tuple)
SEEDS = st.integers(-3, 2**40)


@given(st.tuples(SEEDS, NAMES), st.tuples(SEEDS, NAMES))
def test_different_streams_have_different_seeds(a, b):
    found = [derived_seed(seed, *names) for seed, names in (a, b)]
    assert (found[0] == found[1]) == (a == b)
    assert all(0 <= seed < 2**63 for seed in found)


def test_a_separator_in_a_name_does_not_join_streams():
    assert len({derived_seed(0, *names) for names in (("a/b",), ("a", "b"), ("a\\", "b"), ("a\\/b",))}) == 4


def test_the_seed_is_the_beginning_of_a_hash():
    # results of earlier runs depend on it
    digest = hashlib.sha256(b"0/order/3").digest()
    assert derived_seed(0, "order", 3) == int.from_bytes(digest[:8], "big") // 2


def test_generators_are_fresh_and_leave_the_global_one_alone():
    before = torch.get_rng_state()
    first, second = (torch.rand(3, generator=generator(0, "init")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(3, generator=generator(1, "init")))
    assert torch.equal(before, torch.get_rng_state())
