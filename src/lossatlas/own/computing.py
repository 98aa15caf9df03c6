"""What is asked for, computed: results, and what they would cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from lossatlas.engine.device import usable_device
from lossatlas.engine.general import examples, float_type, make_evaluator, settled
from lossatlas.landscape.directions import Direction, random_direction
from lossatlas.landscape.hessian import hessian_map
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.surfaces import line, plane
from lossatlas.own.loading import as_weights, find_function, load_data, load_model
from lossatlas.own.request import Request
from lossatlas.results import HessianMap, Line, Plane

Result = Plane | Line | HessianMap


@dataclass(frozen=True)
class Subject:
    """A network with its data and losses, ready to be evaluated; notes say what was done to the data."""

    model: nn.Module
    splits: dict[str, Any]
    loss: Callable[..., Any] | None
    accuracy: Callable[..., Any] | None
    notes: tuple[str, ...] = ()

    @property
    def examples(self) -> dict[str, int]:
        """How many examples each data set has."""
        return {name: examples(data) for name, data in self.splits.items()}


@dataclass(frozen=True)
class Cost:
    """What a request would cost: every point costs what one did that was measured."""

    points: int
    examples: dict[str, int]
    seconds_per_point: float

    @property
    def seconds(self) -> float:
        """Estimated seconds in all."""
        return self.points * self.seconds_per_point


def load(request: Request) -> Subject:
    """Load what a request names.

    Raises:
        OSError: a file is not there.
        ValueError: something that is named is not there or does not fit.
    """
    usable_device(request.options["device"])
    model = load_model(request.model, request.checkpoint)
    loss, accuracy = find_function("loss", request.loss), find_function("accuracy", request.accuracy)
    data = {"train": load_data("data", request.data)}
    if request.test:
        data["test"] = load_data("test", request.test)
    notes = []
    for name, given in data.items():
        data[name], note = as_weights("data" if name == "train" else name, given, float_type(model))
        notes += [note] if note else []
    with _told(request):
        splits = settled(model, data, batch_size=request.options["batch_size"], loss=loss, accuracy=accuracy)
    return Subject(model, splits, loss, accuracy, tuple(notes))


def _directions(request: Request, subject: Subject) -> tuple[Direction, ...]:
    names = {name for name, _ in subject.model.named_parameters(remove_duplicate=False)}
    streams = ("direction_x", "direction_y")[: len(request.axes)]
    state = subject.model.state_dict()
    return tuple(random_direction(state, stream=stream, parameters=names, **request.directions) for stream in streams)


def compute(request: Request, subject: Subject) -> Result:
    """Compute a result, going on from its journal.

    Raises:
        ValueError: the network fails on the data, or the data, the loss or the journal do not fit.
    """
    directions, places = _directions(request, subject), list(request.axes.values())
    options = {**request.options, "loss": subject.loss, "journal": request.journal, "label": request.kind}
    train, test = subject.splits["train"], subject.splits.get("test")
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with _told(request):
        if request.kind == "hessian":
            x, y = directions
            return hessian_map(subject.model, train, directions=(x, y), x=places[0], y=places[1], **options)
        options["accuracy"] = subject.accuracy
        if request.kind == "line":
            return line(subject.model, train, test, direction=directions[0], alpha=places[0], **options)
        x, y = directions
        near = request.sampling
        sampling = Sampling(rtol=near.get("rtol", 0.0), atol=near.get("atol", 0.0)) if near else None
        return plane(
            subject.model,
            train,
            test,
            directions=(x, y),
            x=places[0],
            y=places[1],
            sampling=sampling,
            **options,
        )


def cost(request: Request, subject: Subject) -> Cost:
    """Measure one point, the centre, and estimate all of them; a sampled plane costs less than this.

    Raises:
        ValueError: the network fails on the data, or they do not fit.
    """
    with _told(request):
        measure = _hessian_point(request, subject) if request.kind == "hessian" else _point(request, subject)
        begin = time.perf_counter()
        measure()
        return Cost(request.points, subject.examples, time.perf_counter() - begin)


def _point(request: Request, subject: Subject) -> Callable[[], object]:
    evaluator = make_evaluator(
        subject.model, subject.splits, loss=subject.loss, accuracy=subject.accuracy, **request.options
    )
    state = subject.model.state_dict()
    evaluator(state)  # the first time is longer
    return lambda: evaluator(state)


def _hessian_point(request: Request, subject: Subject) -> Callable[[], object]:
    x, y = _directions(request, subject)
    options = {**request.options, "loss": subject.loss, "label": "one point"}
    zero = np.zeros(1)
    return lambda: hessian_map(subject.model, subject.splits["train"], directions=(x, y), x=zero, y=zero, **options)


@contextmanager
def _told(request: Request) -> Iterator[None]:
    """Let what a user's network or loss raises name it."""
    try:
        yield
    except (RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{request.model} fails on {request.data} ({type(error).__name__}: {error})") from error
