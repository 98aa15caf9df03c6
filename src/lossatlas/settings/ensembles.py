"""Settings of curves, of planes through three points and of ensembles (Garipov et al. 2018, Huang et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossatlas.settings.runs import TrainSettings
from lossatlas.settings.sections import Count, Name, Natural, Positive, Section, known
from lossatlas.settings.trainings import Runs, check_alike, check_independent, check_kept


class _Connecting(Section):
    """What studies of several minimizers take: on which examples, and how statistics are refreshed."""

    refresh_examples: Annotated[int, Field(ge=2)] | None
    refresh_batch_size: Annotated[int, Field(ge=2)]
    train_examples: Count | None
    test_examples: Count | None
    batch_size: Count


class CurveSettings(_Connecting):
    """A curve between the final weights of two runs: the straight segment, or one that is trained."""

    start: Name
    end: Name
    kind: Literal["segment", "chain", "bezier"]
    bends: Natural
    free_ends: bool
    seed: Natural
    train: TrainSettings | None
    points: Annotated[int, Field(ge=2)]
    statistics: Annotated[list[Literal["frozen", "interpolated", "refreshed"]], Field(min_length=1)]

    @model_validator(mode="after")
    def _bent(self) -> Self:
        if (self.kind == "segment") != (self.bends == 0):
            raise ValueError(f"bends = {self.bends} of a {self.kind}; a segment has none, a chain or bezier at least 1")
        if (self.kind == "segment") != (self.train is None):
            found = "null" if self.train is None else "given"
            raise ValueError(
                f"train is {found} for a {self.kind}; a segment has none (null), a chain or bezier has one"
            )
        if self.kind == "segment" and self.free_ends:
            raise ValueError("free_ends = True of a segment, which is not trained; take false, or a chain or bezier")
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start!r}; a curve joins two runs: name another end")
        if len(set(self.statistics)) < len(self.statistics):
            raise ValueError(f"statistics = {self.statistics} names one twice; name each once")
        return self


class PointSettings(Section):
    """A point in weight space: a run's weights (the last, or those after an epoch), or a bend of a curve (from 1)."""

    run: Name | None = None
    epoch: Natural | None = None
    curve: Name | None = None
    bend: Count = 1

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.run is None) == (self.curve is None):
            raise ValueError(f"run = {self.run!r} and curve = {self.curve!r}; a point is of one of the two: name one")
        if self.curve is not None and self.epoch is not None:
            raise ValueError(f"epoch = {self.epoch} of curve {self.curve!r}, which has bends; name bend, or a run")
        if self.run is not None and self.bend != 1:
            raise ValueError(f"bend = {self.bend} of run {self.run!r}, which has epochs; name epoch, or a curve")
        return self


class Plane3Settings(_Connecting):
    """The plane through three points, with a path on it: a curve, or what a run kept of its training."""

    through: Annotated[list[PointSettings], Field(min_length=3, max_length=3)]
    path: PointSettings | None
    margin: Positive
    points: Annotated[int, Field(ge=2)]
    statistics: Literal["frozen", "refreshed"]

    @model_validator(mode="after")
    def _different(self) -> Self:
        for i, point in enumerate(self.through):
            if point in self.through[:i]:
                first = self.through.index(point)
                raise ValueError(f"through[{first}] and through[{i}] are one point; a plane needs three different ones")
        if self.path is not None and self.path.epoch is not None:
            raise ValueError(f"path.epoch = {self.path.epoch}; a path is all that a run kept: leave epoch out")
        if self.path is not None and "bend" in self.path.model_fields_set:
            raise ValueError(f"path.bend = {self.path.bend}; a path is the whole curve: leave bend out")
        return self


class FgeSettings(Section):
    """Fast geometric ensembling: the end of a budget, trained on from a checkpoint of a run in short cycles."""

    run: Name
    start: Count
    epochs: Count
    high: Positive
    low: Positive
    cycle_epochs: Annotated[int, Field(ge=2, multiple_of=2)]
    seed: Natural

    @model_validator(mode="after")
    def _triangle(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}; the rate falls from high to low")
        if 2 * self.epochs < self.cycle_epochs:
            raise ValueError(
                f"epochs = {self.epochs} end before the first member, in the middle of a cycle (cycle_epochs = "
                f"{self.cycle_epochs}); take at least {self.cycle_epochs // 2}"
            )
        return self


class EnsembleSettings(Section):
    """The ensembles of one network, data set and method; a budget is one run or several, or an entry of `fges`."""

    network: Name
    data: Name
    method: Literal["ind", "sse", "fge", "nocycle", "single_cycle"]
    budgets: Annotated[list[list[Name]], Field(min_length=1)]
    budget_epochs: Count
    snapshots: Count
    calibration_bins: Count
    average_weights: bool
    refresh_batch_size: Annotated[int, Field(ge=2)]
    batch_size: Count


def check_curve(name: str, curve: CurveSettings, runs: Runs) -> None:
    """Refuse a curve between runs that are not of one network and data set, or are one training.

    Raises:
        ValueError: a run that does not exist, or ends that do not fit each other or the curve's training.
    """
    for end in ("start", "end"):
        known(f"curves.{name}.{end}", getattr(curve, end), runs)
    check_alike(f"curves.{name}", [curve.start, curve.end], runs)
    check_independent(f"curves.{name}", [curve.start, curve.end], runs)
    wanted = runs[curve.start].train.normalization
    if curve.train is not None and curve.train.normalization != wanted:
        found = curve.train.normalization
        raise ValueError(f"curves.{name}.train.normalization = {found!r}; its ends have {wanted!r}: take that")


def _check_point(key: str, point: PointSettings, curves: Mapping[str, CurveSettings], runs: Runs) -> None:
    if point.run is not None:
        known(f"{key}.run", point.run, runs)
        if point.epoch is not None:
            check_kept(f"{key}.run", point.run, point.epoch, runs)
    elif point.curve is not None:
        known(f"{key}.curve", point.curve, curves)
        bends = curves[point.curve].bends
        if point.bend > max(bends, 1):
            raise ValueError(f"{key}.bend = {point.bend}; curve {point.curve} has {bends}: name one of 1 to {bends}")


def check_plane3(name: str, plane: Plane3Settings, curves: Mapping[str, CurveSettings], runs: Runs) -> None:
    """Refuse a plane through points that do not exist, or are one.

    Raises:
        ValueError: a run, epoch, curve or bend that does not exist, points of different networks or data, or two that
            are one training at one epoch.
    """
    for i, point in enumerate(plane.through):
        _check_point(f"planes3.{name}.through[{i}]", point, curves, runs)
        if point.curve is not None and curves[point.curve].bends == 0:
            raise ValueError(
                f"planes3.{name}.through[{i}].bend = {point.bend}; curve {point.curve} is a segment and has no bend: "
                "name a chain or bezier"
            )
    if plane.path is not None:
        _check_point(f"planes3.{name}.path", plane.path, curves, runs)
    shown = [*plane.through, *([plane.path] if plane.path else [])]
    owners = [point.run or curves[str(point.curve)].start for point in shown]
    check_alike(f"planes3.{name}", owners, runs)
    _check_apart(name, plane, runs)


def _check_apart(name: str, plane: Plane3Settings, runs: Runs) -> None:
    """Refuse two points that have the weights of one training at one epoch."""
    places: dict[int, list[str]] = {}
    for i, point in enumerate(plane.through):
        if point.run is None:
            continue
        epoch = runs[point.run].train.epochs if point.epoch is None else point.epoch
        if point.run in places.setdefault(epoch, []):
            raise ValueError(
                f"planes3.{name}.through[{i}] is {point.run} at epoch {epoch} once more; "
                "a plane needs three different points: name another epoch or run"
            )
        places[epoch].append(point.run)
    for named in places.values():
        check_independent(f"planes3.{name}.through", named, runs)


def check_fge(name: str, fge: FgeSettings, runs: Runs) -> None:
    """Refuse cycles that begin at weights that are not kept.

    Raises:
        ValueError: no such run or weights.
    """
    check_kept(f"fges.{name}.run", fge.run, fge.start, runs)
