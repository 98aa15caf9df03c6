"""How much each stage has to compute, counted in images: trained on, evaluated, or in products with the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossatlas.settings import Params
from lossatlas.stages.study_inputs import owner
from lossatlas.stages.task import Key


@dataclass(frozen=True)
class Counts:
    """Sizes of a data set: images of the training and test set, image height and width in pixels, classes."""

    train: int
    test: int
    size: int
    classes: int


@dataclass(frozen=True)
class Work:
    """What a stage computes.

    Attributes:
        run: the run whose network it is of.
        points: weight vectors at which a loss is evaluated, or epochs of a training.
        trained: images of training steps.
        evaluated: images of forward passes.
        products: images of products with the Hessian.
        bound: `at most` where the stage may stop earlier, else empty.
    """

    run: str
    points: int
    trained: int = 0
    evaluated: int = 0
    products: int = 0
    bound: str = ""


def workload(params: Params, key: Key, sizes: Mapping[str, Counts]) -> Work | None:
    """Return what a stage computes; None for stages that only read, draw or write, and for slices of tiny networks.

    Args:
        params: the settings.
        key: the stage's kind and name.
        sizes: of each data set.
    """
    kind, name = key
    if kind not in _COUNTED:
        return None
    if kind == "train":
        run = params.runs[name]
        return _training(name, run.train.epochs, sizes[run.data])
    from lossatlas.stages.plan import STUDIES

    study = getattr(params, STUDIES[kind])[name]
    run_name = owner(params, kind, study)
    found: Work = _COUNTED[kind](params, study, run_name, sizes[params.runs[run_name].data])
    return found


def _training(run: str, epochs: int, data: Counts) -> Work:
    """Every epoch ends with an evaluation of both sets; there is one before the first."""
    return Work(run, epochs, trained=epochs * data.train, evaluated=(epochs + 1) * (data.train + data.test))


def _images(study: Any, data: Counts) -> int:
    """Return how many images a point takes."""
    train = min(study.train_examples or data.train, data.train)
    return train + (min(study.test_examples or data.test, data.test) if hasattr(study, "test_examples") else 0)


def _line(_params: Params, study: Any, run: str, data: Counts) -> Work:
    return Work(run, study.alpha.points, evaluated=study.alpha.points * _images(study, data))


def _plane(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = study.x.points * study.y.points
    return Work(run, points, evaluated=points * _images(study, data), bound="at most" if study.sampling else "")


def _profile(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = sum(cut.repeats * cut.alpha.points for cut in study.cuts.values())
    train = min(study.train_examples or data.train, data.train)
    rows = sum(cut.repeats for cut in study.cuts.values())
    return Work(run, points, evaluated=points * _images(study, data), products=rows * train)


def _hessian(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = study.x.points * study.y.points
    return Work(run, points, products=points * study.max_products * _images(study, data), bound="at most")


def _trajectory(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = study.points**2
    return Work(run, points, evaluated=points * _images(study, data))


def _probe(_params: Params, study: Any, run: str, data: Counts) -> Work:
    few = _images(study, data)
    places = 5  # gradients in the centre and far out on both sides of two directions
    gradients = places * study.gradient_batches * study.gradient_batch_size
    starts = 2 * len(study.schemes) * study.repeats  # in training and in eval mode
    return Work(run, starts + places, trained=gradients, evaluated=starts * few, products=(study.krylov + 2) * few)


def _invariance(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = 2 * 3 * study.alpha.points  # two normalizations of three weight vectors
    return Work(run, points, evaluated=(points + 3) * _images(study, data))


def _refreshed(study: Any, data: Counts, ways: int) -> int:
    """Return the images of a point where batch-norm statistics are refreshed in `ways` of its evaluations."""
    return ways * min(study.refresh_examples or data.train, data.train)


def _curve(_params: Params, study: Any, run: str, data: Counts) -> Work:
    trained = _training(run, study.train.epochs, data) if study.train else Work(run, 0)
    each = len(study.statistics) * _images(study, data) + _refreshed(study, data, study.statistics.count("refreshed"))
    return Work(run, study.points, trained.trained, trained.evaluated + study.points * each)


def _plane3(_params: Params, study: Any, run: str, data: Counts) -> Work:
    points = study.points**2
    each = _images(study, data) + _refreshed(study, data, int(study.statistics == "refreshed"))
    return Work(run, points, evaluated=points * each)


def _fge(_params: Params, study: Any, run: str, data: Counts) -> Work:
    return _training(run, study.epochs, data)


def _ensemble(params: Params, study: Any, run: str, data: Counts) -> Work:
    members = 0
    for name in (name for budget in study.budgets for name in budget):
        cycles = params.fges[name] if study.method == "fge" else None
        snapshots = study.snapshots if study.method in ("sse", "nocycle") else 1
        members += max(1, cycles.epochs // cycles.cycle_epochs) if cycles else snapshots
    averages = len(study.budgets) * (data.train + data.test) if study.average_weights else 0
    return Work(run, members, evaluated=members * data.test + averages)


_COUNTED: Mapping[str, Any] = {
    "train": None,
    "line": _line,
    "plane": _plane,
    "profile": _profile,
    "hessian": _hessian,
    "trajectory": _trajectory,
    "probe": _probe,
    "invariance": _invariance,
    "curve": _curve,
    "plane3": _plane3,
    "fge": _fge,
    "ensemble": _ensemble,
}
