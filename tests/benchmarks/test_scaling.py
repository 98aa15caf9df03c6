"""What follows on paper from measured numbers."""

import pytest

TRAFFIC = {"bytes_per_worker_once": 63_001_000, "bytes_per_point_with_tasks": 100.0, "bytes_per_task": 300}
LIMITS = {
    "scheduler_tasks_per_second": 50.0,
    "received_points_per_second": 4000.0,
    "journal_points_per_second_by_batch": {"1": 100.0, "1000": 9000.0},
}
SIZES = {"point_seconds": [0.01, 4.0], "on_paper": [8, 64], "paper_points": 251}


def test_limits_and_bytes_follow_from_what_was_measured():
    from scaling import derived

    found = derived(TRAFFIC, LIMITS, SIZES)
    fast, slow = found["0.01 s per point"], found["4 s per point"]
    # tasks of a second: 50 a second keep 50 workers busy; 4,000 points a second are those of 40
    assert (fast["points_per_task"], fast["workers_at_the_scheduler's_limit"]) == (100, 50)
    assert fast["workers_at_the_writer's_limit"] == 40
    assert fast["64 workers"]["points_per_second"] == pytest.approx(4000)
    assert fast["8 workers"]["bytes_per_point"] == pytest.approx(8 * 1000 + 100)
    # tasks of one point of four seconds
    assert (slow["points_per_task"], slow["workers_at_the_scheduler's_limit"]) == (1, 200)
    assert slow["64 workers"]["points_per_second"] == pytest.approx(16)
    assert slow["64 workers"]["part_of_the_scheduler"] == pytest.approx(64 / 200)


def test_the_page_has_every_number_or_says_that_none_was_measured():
    from scaling import derived
    from scaling_page import scaling_page

    assert scaling_page(None) == "Not measured yet: `make bench BENCH=scaling`.\n"
    spread = {"median": 2.0, "lowest": 1.5, "highest": 2.5, "rounds": 3}
    part = {
        "host": {"cpu": "a CPU", "cores": 2, "load_at_start": 0.1},
        "network": "resnet20",
        "points": 256,
        "images": 2048,
        "paper_points": 63001,
        "seconds": {"this process": spread, "2 workers": spread},
        "efficiency": {"2 workers": {**spread, "median": 0.95}},
        "traffic": TRAFFIC,
        "limits": LIMITS,
        "derived": derived(TRAFFIC, LIMITS, SIZES),
    }
    page = scaling_page(part)
    assert "| 2 workers | 2 (1.5 to 2.5) | 0.95 (1.5 to 2.5) |" in page
    assert "| 0.01 s per point | 64 workers | 64,100 | 4000 | 1.3e+02 % | 1.6e+02 % | 40 |" in page
    assert "63,001,000 bytes" in page and "50 per second" in page
