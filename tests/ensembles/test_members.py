"""The epochs that give members, and the learning rates there in the papers' protocols."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossatlas.ensembles.members import cycle_epochs, snapshot_epochs
from lossatlas.training.schedules import make_schedule

STEPS = 391  # 50000 examples in batches of 128


def test_snapshots_of_the_papers():
    assert snapshot_epochs(200, 5) == [40, 80, 120, 160, 200]
    assert snapshot_epochs(150, 5) == [30, 60, 90, 120, 150]
    assert snapshot_epochs(300, 6) == [50, 100, 150, 200, 250, 300]
    assert snapshot_epochs(7, 1) == [7]


@given(st.integers(1, 12), st.integers(1, 12))
def test_snapshots_are_the_ends_of_equal_cycles(length, count):
    found = snapshot_epochs(length * count, count)
    assert len(found) == count and found[-1] == length * count
    assert {b - a for a, b in zip([0, *found], found, strict=False)} == {length}


@pytest.mark.parametrize(("epochs", "snapshots"), [(200, 6), (3, 5), (0, 1), (5, 0)])
def test_snapshots_of_broken_cycles_are_refused(epochs, snapshots):
    with pytest.raises(ValueError, match=f"{epochs} epochs do not divide into {snapshots} cycles of whole epochs"):
        snapshot_epochs(epochs, snapshots)


def test_members_in_the_middle_of_cycles():
    assert cycle_epochs(40, 4) == [2, 6, 10, 14, 18, 22, 26, 30, 34, 38]
    assert cycle_epochs(30, 4) == [2, 6, 10, 14, 18, 22, 26, 30]
    assert cycle_epochs(40, 2) == list(range(1, 40, 2))
    assert cycle_epochs(5, 2) == [1, 3, 5]
    assert cycle_epochs(1, 2) == [1]


@pytest.mark.parametrize("cycle", [-2, 0, 1, 3])
def test_cycles_without_a_middle_epoch_are_refused(cycle):
    with pytest.raises(ValueError, match=f"a cycle of {cycle} epochs has no epoch that ends in its middle"):
        cycle_epochs(10, cycle)


def test_cycles_that_end_before_their_middle_are_refused():
    with pytest.raises(ValueError, match="1 epochs end before the middle of the first cycle of 4; take at least 2"):
        cycle_epochs(1, 4)


@pytest.mark.parametrize(
    ("epochs", "cycle", "high", "low"), [(40, 2, 1e-2, 5e-4), (30, 4, 5e-2, 5e-4), (40, 4, 5e-2, 5e-4)]
)
def test_a_member_is_taken_after_the_step_at_exactly_the_lowest_rate(epochs, cycle, high, low):
    options = {"low": low, "cycle_epochs": cycle}
    rate = make_schedule("fge_triangle", lr=high, epochs=epochs, steps_per_epoch=STEPS, options=options)
    at_lowest = [step for step in range(1, epochs * STEPS + 1) if rate(step) == low]
    assert at_lowest == [epoch * STEPS for epoch in cycle_epochs(epochs, cycle)]
    assert min(map(rate, range(1, epochs * STEPS + 1))) == low


@pytest.mark.parametrize(("epochs", "lr"), [(200, 0.05), (150, 0.1), (200, 0.1)])
def test_a_snapshot_is_taken_after_the_last_step_of_its_cycle(epochs, lr):
    rate = make_schedule("cosine_cycles", lr=lr, epochs=epochs, steps_per_epoch=STEPS, options={"cycles": 5})
    length = epochs * STEPS // 5
    last = lr / 2 * (math.cos(math.pi * (length - 1) / length) + 1)
    for epoch in snapshot_epochs(epochs, 5):
        assert rate(epoch * STEPS) == last
        assert rate(epoch * STEPS + 1) == lr
