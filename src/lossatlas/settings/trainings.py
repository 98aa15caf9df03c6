"""What runs must share, and what they must not share, to be several minimizers of one landscape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossatlas.settings.runs import RunSettings
from lossatlas.settings.sections import known

Runs = Mapping[str, RunSettings]
# what of `train` says which weights are kept, and nothing of how they come about
KEEPING = {"checkpoints", "checkpoint_every"}


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


def _model(run: RunSettings) -> dict[str, Any]:
    """Return a run's network; options complete, however they were written."""
    from lossatlas.models import check_model

    return {"family": run.model.family, "options": check_model(run.model.family, run.model.options)}


def check_alike(key: str, names: Sequence[str], runs: Runs) -> None:
    """Refuse runs that are no points of one landscape.

    Raises:
        ValueError: they differ in data, network or normalization.
    """
    traits = [
        {"data": run.data, **_model(run), "normalization": run.train.normalization}
        for run in (runs[name] for name in names)
    ]
    for name, found in zip(names, traits, strict=True):
        for what, value in found.items():
            if value != traits[0][what]:
                raise ValueError(
                    f"{key}: {names[0]} and {name} differ in {what} ({traits[0][what]!r}, {value!r}); "
                    "take runs of one network, data set and normalization"
                )


def check_independent(key: str, names: Sequence[str], runs: Runs) -> None:
    """Refuse two names of one training: settings that give the same weights, whatever they are called.

    Args:
        key: where the names stand, for the message.
        names: different names of runs.
        runs: all runs.

    Raises:
        ValueError: two have equal data, network, seed and training.
    """
    trainings = [
        {"data": run.data, "seed": run.seed, **_model(run), "train": run.train.model_dump(exclude=KEEPING)}
        for run in (runs[name] for name in names)
    ]
    for i, training in enumerate(trainings):
        if training in trainings[:i]:
            first, second = names[trainings.index(training)], names[i]
            raise ValueError(
                f"{key}: {first} and {second} are two names of one training (data, model, train and seed = "
                f"{runs[second].seed} are equal); give runs.{second}.seed another value"
            )
