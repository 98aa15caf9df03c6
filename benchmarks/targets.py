"""What is asked of each measurement, and whether it is met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Relation = Literal["at least", "at most"]


@dataclass(frozen=True)
class Target:
    """A bound on one measured value.

    Attributes:
        what: what is measured.
        path: where the value lies in the results, part first.
        relation: on which side of the bound it must be.
        bound: the bound.
        unit: of both.
    """

    what: str
    path: tuple[str, ...]
    relation: Relation
    bound: float
    unit: str = ""

    def met(self, value: float) -> bool:
        """Tell whether a value is on the right side."""
        return value >= self.bound if self.relation == "at least" else value <= self.bound


def _plane(network: str, fraction: float) -> list[Target]:
    title, at = network.replace("resnet", "ResNet-"), ("plane", "networks", network)
    return [
        Target(f"exact plane, {title}: points per second, plain loop = 1", (*at, "ratio"), "at least", 1.7, "x"),
        Target(
            f"exact plane, {title}: part of the matrix product rate, all cores",
            (*at, "fraction_of_matrix_rate"),
            "at least",
            fraction,
        ),
        Target(
            f"exactness, {title}: largest relative difference of a loss",
            (*at, "largest_relative_difference"),
            "at most",
            1e-5,
        ),
        Target(f"exactness, {title}: points whose accuracy differs", (*at, "points_of_unequal_accuracy"), "at most", 0),
    ]


def _sampled(case: str, of: str, saved: float) -> list[Target]:
    at, title = ("sampled", "cases", case), f"sampled plane, {case}, {of}"
    return [
        Target(
            f"{title}: image evaluations of the exact plane, sampled = 1",
            (*at, "ratio_of_evaluations"),
            "at least",
            saved,
            "x",
        ),
        Target(f"{title}: checked points within the tolerance", (*at, "within_tolerance"), "at least", 0.95),
        Target(f"{title}: points checked", (*at, "checked_points"), "at least", 500),
        Target(f"{title}: exact points timed", (*at, "timed_points"), "at least", 50),
    ]


def _hessian(way: str, title: str) -> list[Target]:
    at = ("hessian", "plain", way)
    return [
        Target(f"Hessian map: seconds a point of {title}, ours = 1", (*at, "ratio"), "at least", 3, "x"),
        *(
            Target(
                f"Hessian map: our largest residual of {end}, {title} = 1", (*at, "residual_ratio", end), "at most", 1
            )
            for end in ("lambda_max", "lambda_min")
        ),
    ]


TARGETS = (
    *_plane("resnet20", 0.70),
    *_plane("resnet56", 0.80),
    *_sampled("51x51", "ResNet-20, 8,000 images", 12),
    *_sampled("251x251", "ResNet-8 of base width 4, 50,000 images", 100),
    *_hessian("lanczos", "two Lanczos runs that look at every step"),
    *_hessian("arpack", "two runs of ARPACK"),
    Target("training: seconds an epoch, ours = 1", ("training", "ratio"), "at least", 1.3, "x"),
    Target("GPU: ResNet-56 over 50,000 images, a point", ("gpu", "plane", "seconds_per_point"), "at most", 0.15, "s"),
    Target("GPU: the same, plain loop, ours = 1", ("gpu", "plane", "ratio"), "at least", 30, "x"),
    Target("GPU: Hessian products, plain double-backward, ours = 1", ("gpu", "products", "ratio"), "at least", 3, "x"),
    Target("GPU: ResNet-56 training epoch", ("gpu", "training", "seconds_per_epoch"), "at most", 3, "s"),
    Target(
        "GPU: times that the host waits, a batch of a plane",
        ("gpu", "synchronizations", "plane_per_batch"),
        "at most",
        0,
    ),
    Target(
        "GPU: times that the host waits, a batch of training",
        ("gpu", "synchronizations", "training_per_batch"),
        "at most",
        0,
    ),
    Target("a plane on 2 Dask workers: efficiency", ("scaling", "efficiency", "2 workers"), "at least", 0.9),
    Target("a plane on 1 or 2 workers: the same bytes", ("scaling", "same_bytes"), "at least", 1),
    Target(
        "memory: growth of what is resident from point 25 to point 400 of a plane",
        ("memory", "growth_mib"),
        "at most",
        1,
        "MiB",
    ),
    Target("memory: places that hold a direction", ("memory", "copies_of_a_direction"), "at most", 1),
    Target("no-op `dvc repro` of the default preset", ("overhead", "dvc_repro", "seconds"), "at most", 10, "s"),
    Target("`import lossatlas`", ("overhead", "seconds", "import lossatlas"), "at most", 0.3, "s"),
    Target("stages that need no torch and import it", ("overhead", "light_stages_with_torch"), "at most", 0),
)


def value_at(results: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what lies at a path, None where nothing does."""
    found: Any = results
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
