"""Stage `probe`: losses at initialization, mini-batch gradients, random cosines and condition numbers of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from lossatlas.engine.evaluator import Examples, model_state
from lossatlas.files import read_json, write_json
from lossatlas.landscape.condition import krylov_bound, slice_condition
from lossatlas.landscape.cosines import random_cosines
from lossatlas.landscape.curvature import HessianOperator, Weights
from lossatlas.landscape.directions import Direction
from lossatlas.landscape.gradients import gradient_agreement, mini_batches
from lossatlas.landscape.initial import initial_losses
from lossatlas.landscape.points import displaced
from lossatlas.models import parameter_count
from lossatlas.randomness import generator
from lossatlas.sealed import kept_values
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, engine_settings, load_subject, random_axes


def _directions(job: Job, subject: Subject) -> tuple[Direction, Direction]:
    """Return the axes of the run's filter-normalized plane of the same seed."""
    return random_axes(replace(job, settings={**job.settings, "normalization": "filter"}), subject)


def _batch_size(subject: Subject) -> int:
    """Return how many examples share batch statistics in the run's training."""
    train = subject.run["train"]
    return max(2, int(train["micro_batch"] or train["batch_size"]))


def _initialization(job: Job, subject: Subject, examples: Examples) -> dict[str, Any]:
    """Return the losses in batches as large as training's; the run's own seed comes first."""
    engine = {"batch_size": _batch_size(subject), "device": engine_settings(job)["device"]}
    seeds = [subject.run["seed"] + i for i in range(job.settings["repeats"])]
    losses = {}
    for scheme in job.settings["schemes"]:
        found = initial_losses(subject.model, examples, scheme=scheme, seeds=seeds, **engine)
        losses[scheme] = {"train_mode": list(found.train_mode), "eval_mode": list(found.eval_mode)}
    return losses


def _gradients(job: Job, subject: Subject) -> dict[str, Any]:
    """Compare gradients in the centre and at `far` multiples of each direction, on the same mini-batches."""
    count, size, far = (job.settings[key] for key in ("gradient_batches", "gradient_batch_size", "far"))
    batches = mini_batches(subject.train, batches=count, batch_size=size, seed=job.settings["seed"])
    state, directions = model_state(subject.model), _directions(job, subject)

    def at(x: float, y: float) -> dict[str, float]:
        point, device = displaced(state, directions, (x, y)), engine_settings(job)["device"]
        found = asdict(gradient_agreement(subject.model, batches, state=point, device=device))
        return {name: found[name] for name in ("loss", "mean_cosine", "std_cosine", "mean_norm")}

    around = ((far, 0.0), (-far, 0.0), (0.0, far), (0.0, -far))
    return {
        "batch_size": size,
        "batches": count,
        "centre": at(0.0, 0.0),
        "far": [{"x": x, "y": y, **at(x, y)} for x, y in around],
    }


def _cosines(job: Job, subject: Subject) -> dict[str, Any]:
    settings = {"pairs": job.settings["cosines"], "seed": job.settings["seed"]}
    return asdict(random_cosines(model_state(subject.model), **settings))


def _condition(job: Job, subject: Subject, examples: Examples) -> dict[str, Any]:
    engine = {key: value for key, value in engine_settings(job).items() if key not in ("label", "executor")}
    weights: Weights = "matrices" if job.settings["exclude_1d"] else "all"
    operator = HessianOperator(subject.model, examples, weights=weights, **engine)
    axes = [operator.flatten(direction.tensors) for direction in _directions(job, subject)]
    plane = slice_condition(operator.product, *axes)
    start = torch.randn(operator.size, generator=generator(job.settings["seed"], "krylov"), dtype=torch.float64)
    full = krylov_bound(operator.product, start, steps=job.settings["krylov"])
    names = ("lambda_max", "lambda_min", "residual_max", "residual_min", "smallest_norm", "rounding")
    return {
        "slice": plane.condition,
        "slice_eigenvalues": list(plane.eigenvalues),
        "full_lower_bound": full.condition,
        **{name: getattr(full, name) for name in names},
        "krylov": full.steps,
    }


def _kept(job: Job, name: str, part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a part that a killed run finished, or compute and keep it."""
    path = job.work / f"{name}.json"
    found: dict[str, Any] = kept_values(path, part)
    return found


def compute(job: Job) -> None:
    """Write `probe.json`; of a run that diverged, the losses at initialization alone.

    Mini-batches are drawn from the whole training set; the rest is measured on the first `train_examples`.
    """
    subject = load_subject(replace(job, settings={**job.settings, "train_examples": None}))
    few = load_subject(job)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "initialization": lambda: _initialization(job, subject, few.train),
        "gradients": lambda: _gradients(job, subject),
        "random_cosine": lambda: _cosines(job, subject),
        "condition": lambda: _condition(job, subject, few.train),
    }
    note = f"the run diverged ({subject.run['note']})" if subject.diverged else ""
    found = {
        name: _kept(job, name, part) if name == "initialization" or not subject.diverged else None
        for name, part in parts.items()
    }
    account(job, few, name="probe", note=note, skipped=subject.diverged)
    path = job.out / "probe.json"
    sizes = {"parameters": parameter_count(subject.model), "examples": len(few.train[1])}
    write_json(path, {**read_json(path), **sizes, "initialization_batch_size": _batch_size(subject), **found})
