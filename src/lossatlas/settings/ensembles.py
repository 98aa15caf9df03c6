"""Settings of curves, of planes through three points and of ensembles (Garipov et al. 2018, Huang et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lossatlas.settings.runs import RunSettings, TrainSettings
from lossatlas.settings.sections import Count, Name, Natural, Positive, Section, known


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
            raise ValueError(f"train of a {self.kind}: a segment has none (null), a chain or bezier has one")
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start!r}; a curve joins two runs")
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
            raise ValueError("a point is either of a run or of a curve: name one of the two")
        return self


class Plane3Settings(_Connecting):
    """The plane through three points, with a path on it: a curve, or what a run kept of its training."""

    through: Annotated[list[PointSettings], Field(min_length=3, max_length=3)]
    path: PointSettings | None
    margin: Positive
    points: Annotated[int, Field(ge=2)]
    statistics: Literal["frozen", "refreshed"]


class FgeSettings(Section):
    """Fast geometric ensembling: the end of a budget, trained on from a checkpoint of a run in short cycles."""

    run: Name
    start: Count
    epochs: Count
    high: Positive
    low: Positive
    cycle_epochs: Annotated[int, Field(ge=2, multiple_of=2)]
    seed: Natural


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


Runs = Mapping[str, RunSettings]


def check_kept(key: str, name: str, epoch: int, runs: Runs) -> None:
    """Refuse an epoch whose weights a run does not keep.

    Raises:
        ValueError: no such run, or it keeps no weights of this epoch.
    """
    known(key, name, runs)
    train = runs[name].train
    regular = train.checkpoint_every is not None and epoch % train.checkpoint_every == 0
    if epoch > train.epochs or not (regular or epoch in (0, train.epochs, *train.checkpoints)):
        raise ValueError(
            f"{key} = {name!r} at epoch {epoch}, which that run does not keep; "
            f"add it to runs.{name}.train.checkpoints (epochs 0 to {train.epochs})"
        )


def check_curve(name: str, curve: CurveSettings, runs: Runs) -> None:
    """Refuse a curve between runs that are not of one network and data set.

    Raises:
        ValueError: a run that does not exist, or ends that do not fit each other or the curve's training.
    """
    for end in ("start", "end"):
        known(f"curves.{name}.{end}", getattr(curve, end), runs)
    first, last = runs[curve.start], runs[curve.end]
    for what, one, other in (
        ("data", first.data, last.data),
        ("family", first.model.family, last.model.family),
        ("options", first.model.options, last.model.options),
        ("normalization", first.train.normalization, last.train.normalization),
    ):
        if one != other:
            raise ValueError(f"curves.{name}: start and end differ in {what} ({one!r}, {other!r}); a curve needs equal")
    wanted = first.train.normalization
    if curve.train is not None and curve.train.normalization != wanted:
        raise ValueError(f"curves.{name}.train.normalization = {curve.train.normalization!r}; its ends have {wanted!r}")


def _check_point(key: str, point: PointSettings, curves: Mapping[str, CurveSettings], runs: Runs) -> None:
    if point.run is not None:
        known(f"{key}.run", point.run, runs)
        if point.epoch is not None:
            check_kept(f"{key}.run", point.run, point.epoch, runs)
    elif point.curve is not None:
        known(f"{key}.curve", point.curve, curves)
        bends = curves[point.curve].bends
        if point.bend > max(bends, 1):
            raise ValueError(f"{key}.bend = {point.bend}; curve {point.curve} has {bends}")


def check_plane3(name: str, plane: Plane3Settings, curves: Mapping[str, CurveSettings], runs: Runs) -> None:
    """Refuse a plane through points that do not exist.

    Raises:
        ValueError: a run, epoch, curve or bend that does not exist.
    """
    for i, point in enumerate(plane.through):
        _check_point(f"planes3.{name}.through[{i}]", point, curves, runs)
        if point.curve is not None and curves[point.curve].bends == 0:
            raise ValueError(f"planes3.{name}.through[{i}]: curve {point.curve} is a segment and has no bend")
    if plane.path is not None:
        _check_point(f"planes3.{name}.path", plane.path, curves, runs)


def check_fge(name: str, fge: FgeSettings, runs: Runs) -> None:
    """Refuse cycles that begin at weights that are not kept.

    Raises:
        ValueError: no such run or weights.
    """
    check_kept(f"fges.{name}.run", fge.run, fge.start, runs)


def check_ensemble(name: str, ensemble: EnsembleSettings, fges: Mapping[str, FgeSettings], runs: Runs) -> None:
    """Refuse an ensemble whose members are not there, or do not add up to its budget.

    Raises:
        ValueError: members that do not exist, of other data, or of another schedule or length than the method's.
    """
    for i, budget in enumerate(ensemble.budgets):
        key, spent = f"ensembles.{name}.budgets[{i}]", 0
        for member in budget:
            if ensemble.method == "fge":
                known(key, member, fges)
                spent += fges[member].start + fges[member].epochs
                run = runs[fges[member].run]
            else:
                known(key, member, runs)
                run = runs[member]
                spent += run.train.epochs
            if run.data != ensemble.data:
                raise ValueError(f"{key}: {member} is of {run.data}, the ensemble of {ensemble.data}")
            if ensemble.method in ("sse", "nocycle"):
                _check_snapshots(key, member, ensemble, runs)
        if spent != ensemble.budget_epochs:
            raise ValueError(f"{key} trains {spent} epochs; a budget has {ensemble.budget_epochs}")


def _check_snapshots(key: str, member: str, ensemble: EnsembleSettings, runs: Runs) -> None:
    train, count = runs[member].train, ensemble.snapshots
    if train.epochs % count:
        raise ValueError(f"{key}: {member} has {train.epochs} epochs, which {count} snapshots do not divide evenly")
    if ensemble.method == "sse" and (train.schedule, train.schedule_options.cycles) != ("cosine_cycles", count):
        raise ValueError(f"{key}: {member} must have the schedule cosine_cycles with cycles = {count}")
    for i in range(1, count + 1):
        check_kept(key, member, i * train.epochs // count, runs)
