"""What was measured about scaling, as tables for the documentation; every number comes from the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import number, shown, table

_NOT = "Not measured yet: `make bench BENCH=scaling`.\n"


def scaling_page(part: Mapping[str, Any] | None) -> str:
    """Return the page; `part` is the entry `scaling` of `bench.json`."""
    if not part:
        return _NOT
    host = part["host"]
    return "\n\n".join(
        [
            f"Measured on {host['cpu']}, {host['cores']} cores, load {host['load_at_start']} at the start: a plane of "
            f"{number(part['points'])} points, {part['network']}, {number(part['images'])} images.",
            _times(part),
            "What travels, and the limits of the scheduler and the one writer:",
            _limits(part),
            f"On paper, from these numbers, for a plane of {_paper(part)} points:",
            _derived(part["derived"]),
        ]
    ) + "\n"  # fmt: skip


def _times(part: Mapping[str, Any]) -> str:
    rows = [[name, shown(value), shown(part["efficiency"].get(name, "-"))] for name, value in part["seconds"].items()]
    return table(["where", "seconds: median (lowest to highest)", "efficiency beside 1 worker"], rows)


def _limits(part: Mapping[str, Any]) -> str:
    traffic, limits = part["traffic"], part["limits"]
    rows = [
        ["network and images, read once by each worker", f"{number(traffic['bytes_per_worker_once'])} bytes"],
        ["a task on its way to a worker", f"{number(traffic['bytes_per_task'])} bytes"],
        ["tasks and results, per point", f"{number(traffic['bytes_per_point_with_tasks'])} bytes"],
        ["tasks through the scheduler", f"{number(limits['scheduler_tasks_per_second'])} per second"],
        ["points that the writer receives", f"{number(limits['received_points_per_second'])} per second"],
    ]
    rows += [
        [f"points forced to the disk, {batch} at a time", f"{number(rate)} per second"]
        for batch, rate in limits["journal_points_per_second_by_batch"].items()
    ]
    return table(["what", "measured"], rows)


def _paper(part: Mapping[str, Any]) -> str:
    return number(part["paper_points"])


def _derived(found: Mapping[str, Any]) -> str:
    rows = []
    for name, values in found.items():
        for workers, at in values.items():
            if isinstance(at, Mapping):
                rows.append(
                    [
                        name,
                        workers,
                        number(at["bytes_per_point"]),
                        number(at["points_per_second"]),
                        f"{100 * at['part_of_the_scheduler']:.2g} %",
                        f"{100 * at['part_of_the_writer']:.2g} %",
                        number(
                            min(values["workers_at_the_scheduler's_limit"], values["workers_at_the_writer's_limit"])
                        ),
                    ]
                )
    header = ["a point takes a worker", "workers", "bytes moved per point", "points per second"]
    header += ["of the scheduler's limit", "of the writer's limit", "saturates at workers"]
    return table(header, rows)
