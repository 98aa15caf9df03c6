"""Learning rates at named steps of the papers' protocols."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossatlas.training.schedules import LI_FRACTIONS, make_schedule

STEPS = 391  # 50000 examples in batches of 128


def last_step(epoch, steps=STEPS):
    return epoch * steps


def first_step(epoch, steps=STEPS):
    return (epoch - 1) * steps + 1


def li(epochs=300, steps=STEPS, lr=0.1, **options):
    return make_schedule("step_drops", lr=lr, epochs=epochs, steps_per_epoch=steps, options=options)


@pytest.mark.parametrize("options", [{}, {"fractions": [0.5, 0.75, 0.9166666666666666], "factor": 0.1}])
def test_li_drops_after_epochs_150_225_and_275(options):
    rate = li(**options)
    expected = {1: 0.1, 150: 0.1, 151: 0.01, 225: 0.01, 226: 0.001, 275: 0.001, 276: 1e-4, 300: 1e-4}
    for epoch, value in expected.items():
        assert rate(first_step(epoch)) == pytest.approx(value, rel=1e-12), epoch
        assert rate(last_step(epoch)) == pytest.approx(value, rel=1e-12), epoch
    assert rate(last_step(150)) == 0.1  # exactly, not by way of a factor


def test_li_has_one_rate_per_epoch():
    rate = li()
    assert all(rate(first_step(epoch)) == rate(last_step(epoch)) for epoch in range(1, 301))


@pytest.mark.parametrize(
    ("epochs", "drops"), [(300, [150, 225, 275]), (60, [30, 45, 55]), (12, [6, 9, 11]), (24, [12, 18, 22])]
)
def test_li_shortened_drops_after_the_same_fractions(epochs, drops):
    rate = li(epochs, 7)
    changes = [e for e in range(1, epochs) if rate(first_step(e + 1, 7)) != rate(last_step(e, 7))]
    assert changes == drops


def test_li_drops_coincide_in_a_very_short_training_without_an_error():
    rate = li(1, 5)
    assert [rate(step) for step in range(1, 6)] == [0.1] * 5
    assert [li(2, 5)(step) for step in (5, 6, 10)] == [0.1, pytest.approx(0.01), pytest.approx(0.01)]


@pytest.mark.parametrize(("epochs", "steps", "cycles"), [(200, 782, 5), (300, 782, 6), (7, 13, 3), (1, 10, 4)])
def test_huang_cosine_is_the_published_formula(epochs, steps, cycles):
    alpha_0, total = 0.2, epochs * steps
    rate = make_schedule("cosine_cycles", lr=alpha_0, epochs=epochs, steps_per_epoch=steps, options={"cycles": cycles})
    length = math.ceil(total / cycles)
    for t in {1, 2, total // 3, length, length + 1, total - 1, total}:
        published = alpha_0 / 2 * (math.cos(math.pi * math.fmod(t - 1, length) / length) + 1)
        assert rate(t) == pytest.approx(published, rel=1e-12, abs=1e-18)
    for start in range(1, total + 1, length):
        assert rate(start) == alpha_0
        end = start + length - 1
        if end <= total:
            # one step before the zero of the cosine: alpha_0/2 (1 - cos(pi/length)) <= alpha_0 (pi/length)^2 / 4;
            # cos(x) + 1 cancels to within 1e-16
            assert 0 < rate(end) <= alpha_0 * ((math.pi / length) ** 2 / 4 + 1e-16)


def test_huang_last_cycle_is_shorter_when_the_steps_do_not_divide():
    rate = make_schedule("cosine_cycles", lr=1.0, epochs=1, steps_per_epoch=10, options={"cycles": 4})
    # ceil(10/4) = 3: cycles of 3, 3, 3 and 1 step
    assert [step for step in range(1, 11) if rate(step) == 1.0] == [1, 4, 7, 10]


def test_garipov_is_constant_then_linear_then_constant():
    epochs, steps, lr = 200, STEPS, 0.05
    rate = make_schedule("piecewise_linear", lr=lr, epochs=epochs, steps_per_epoch=steps)

    def at(budget):
        return rate(round(budget * epochs * steps) + 1)

    assert {at(0), at(0.2), at(0.4), at(0.5)} == {lr}
    assert at(0.7) == pytest.approx(lr * 0.505, rel=1e-9)  # half way between 1 and 0.01
    assert at(0.6) == pytest.approx(lr * 0.7525, rel=1e-9)
    assert at(0.9) == pytest.approx(lr * 0.01, rel=1e-9)
    assert {at(0.91), rate(epochs * steps)} == {lr * 0.01}


@given(st.integers(1, 400), st.integers(1, 50), st.floats(1e-4, 1.0))
def test_garipov_never_rises_and_stays_between_its_ends(epochs, steps, lr):
    rate = make_schedule("piecewise_linear", lr=lr, epochs=epochs, steps_per_epoch=steps)
    values = [rate(step) for step in range(1, epochs * steps + 1, max(1, epochs * steps // 97))]
    assert values == sorted(values, reverse=True)
    assert values[0] == lr and values[-1] >= lr * 0.01 * (1 - 1e-12)


@pytest.mark.parametrize("flat", [0.0, 0.5, 0.9, 1.0])
def test_garipov_flat_may_meet_its_end(flat):
    rate = make_schedule(
        "piecewise_linear", lr=1.0, epochs=1, steps_per_epoch=100, options={"flat": flat, "end": flat, "last": 0.1}
    )
    assert [rate(step) for step in (1, 100)] == [1.0, 1.0 if flat == 1.0 else 0.1]


@pytest.mark.parametrize(("steps", "cycle_epochs"), [(391, 2), (391, 4), (7, 1), (1, 1)])
def test_fge_triangle_is_the_published_one(steps, cycle_epochs):
    high, low, c = 0.05, 5e-4, steps * cycle_epochs
    rate = make_schedule(
        "fge_triangle", lr=high, epochs=10, steps_per_epoch=steps, options={"low": low, "cycle_epochs": cycle_epochs}
    )
    for i in range(1, 3 * c + 1):
        t = ((i - 1) % c + 1) / c
        published = (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high
        assert rate(i) == pytest.approx(published, rel=1e-12)


def test_fge_triangle_is_lowest_in_the_middle_and_highest_at_the_end_of_a_cycle():
    rate = make_schedule(
        "fge_triangle", lr=1e-2, epochs=8, steps_per_epoch=10, options={"low": 5e-4, "cycle_epochs": 2}
    )
    cycle = [rate(i) for i in range(1, 21)]
    assert cycle.index(min(cycle)) + 1 == 10 and min(cycle) == 5e-4
    assert cycle.index(max(cycle)) + 1 == 20 and max(cycle) == 1e-2
    assert [rate(i) for i in range(21, 41)] == cycle


@pytest.mark.parametrize(
    ("epochs", "cycles", "steps", "length"),
    [(200, 5, 391, 15640), (150, 5, 391, 11730), (200, 5, 782, 31280), (300, 6, 782, 39100)],
)
def test_snapshot_cycles_of_the_papers_at_named_steps(epochs, cycles, steps, length):
    """CIFAR in batches of 128 (Garipov et al.) and 64 (Huang et al.)."""
    rate = make_schedule("cosine_cycles", lr=0.1, epochs=epochs, steps_per_epoch=steps, options={"cycles": cycles})
    for start in range(0, epochs * steps, length):
        assert rate(start + 1) == 0.1
        assert rate(start + length // 2 + 1) == pytest.approx(0.05, rel=1e-12)
        # the last step before a snapshot: 1 + cos(pi - x) = x^2 / 2 to the fourth order, x = pi / length; 1e-17 is what
        # cancels there
        assert rate(start + length) == pytest.approx(0.1 / 4 * (math.pi / length) ** 2, rel=1e-7, abs=1e-17)


@pytest.mark.parametrize(("cycle_epochs", "high", "middle"), [(2, 1e-2, 391), (4, 5e-2, 782)])
def test_fge_triangle_of_the_paper_at_named_steps(cycle_epochs, high, middle):
    options = {"low": 5e-4, "cycle_epochs": cycle_epochs}
    rate = make_schedule("fge_triangle", lr=high, epochs=40, steps_per_epoch=STEPS, options=options)
    for start in range(0, 40 * STEPS, cycle_epochs * STEPS):
        assert rate(start + middle) == 5e-4 and rate(start + 2 * middle) == high  # exactly
        # a straight line from `high`, one step of which is behind at the first
        assert rate(start + 1) == pytest.approx(high - (high - 5e-4) / middle, rel=1e-12)
        for beside in (start + middle - 1, start + middle + 1):
            assert rate(beside) == pytest.approx(5e-4 + (high - 5e-4) / middle, rel=1e-12)


KINDS = {
    "constant": {},
    "step_drops": {},
    "cosine_cycles": {"cycles": 3},
    "fge_triangle": {"low": 0.01, "cycle_epochs": 2},
    "piecewise_linear": {},
}


@settings(max_examples=40)
@given(st.sampled_from(sorted(KINDS)), st.permutations(range(1, 31)))
def test_rates_are_pure_functions_of_the_step(kind, order):
    def make():
        return make_schedule(kind, lr=0.1, epochs=6, steps_per_epoch=5, options=KINDS[kind])

    one, other = make(), make()
    found = {step: one(step) for step in order}
    assert found == {step: other(step) for step in range(1, 31)}
    assert all(type(value) is float and 0 <= value <= 0.1 for value in found.values())


def test_li_fractions():
    assert [fraction * 300 for fraction in LI_FRACTIONS] == [150, 225, 275]


def test_unknown_schedule():
    with pytest.raises(ValueError, match=r"schedule 'warmup' is unknown; known: constant, step_drops, cosine_cycles"):
        make_schedule("warmup", lr=0.1, epochs=1, steps_per_epoch=1)


def test_options_that_are_missing_or_foreign():
    with pytest.raises(ValueError, match=r"schedule cosine_cycles needs the option 'cycles'"):
        make_schedule("cosine_cycles", lr=0.1, epochs=1, steps_per_epoch=1)
    with pytest.raises(ValueError, match=r"schedule constant has no option 'cycles'; allowed: none"):
        make_schedule("constant", lr=0.1, epochs=1, steps_per_epoch=1, options={"cycles": 2})
    with pytest.raises(ValueError, match=r"piecewise_linear has no option 'fractions'; allowed: flat, end, last"):
        make_schedule("piecewise_linear", lr=0.1, epochs=1, steps_per_epoch=1, options={"fractions": [0.5]})


def test_options_are_not_changed():
    options = {"fractions": [0.5], "factor": 0.5}
    make_schedule("step_drops", lr=0.1, epochs=4, steps_per_epoch=1, options=options)
    assert options == {"fractions": [0.5], "factor": 0.5}
