"""Stage `ensemble`: what averages of several networks predict, within one budget and over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lossatlas.data import NORMALIZATIONS, DataSet, normalize
from lossatlas.engine.device import usable_device
from lossatlas.engine.evaluator import Evaluator
from lossatlas.engine.statistics import Statistics
from lossatlas.ensembles.averaging import average_weights
from lossatlas.ensembles.pooling import by_size, member_scores, one_budget, pooled
from lossatlas.ensembles.predictions import predict
from lossatlas.files import read_json, write_json
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import Predictions
from lossatlas.sealed import kept_values
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.stages.members import Budget, read_budgets
from lossatlas.training.batches import steps_per_epoch
from lossatlas.training.precision import tensor_cores

_COPIED = ("network", "data", "method", "budget_epochs", "snapshots", "calibration_bins")
_NOTHING: Mapping[str, Any] = {
    "members": [],
    "one_budget": {"errors": [], "losses": [], "calibration": [], "mean": None, "spread": None},
    "pooled": [],
    "by_size": [],
    "averaged": None,
}


def _engine(job: Job) -> dict[str, Any]:
    return {"batch_size": job.settings["batch_size"], "device": usable_device(job.settings["device"])}


def _predicted(job: Job, run: Mapping[str, Any], data: DataSet, budgets: Sequence[Budget]) -> Predictions:
    """Return the predictions of all members on the whole test set, budget by budget."""
    members = [member for budget in budgets for member in budget.members]
    inputs = normalize(data.test_images, NORMALIZATIONS[run["train"]["normalization"]])
    found = predict(
        load_checkpoint(members[0].path).build(),
        [member.path for member in members],
        inputs,
        data.test_labels,
        folder=job.work,
        label=job.name,
        executor=job.executor,
        **_engine(job),
    )
    return Predictions(
        probability=found,
        label=data.test_labels.numpy().astype(np.int64),
        budget=np.repeat(np.arange(len(budgets)), [len(budget.members) for budget in budgets]),
        epoch=np.array([member.epoch for member in members]),
        members=tuple(member.name for member in members),
        provenance={"ensemble": job.name, "method": job.settings["method"]},
    )


def _averaged(job: Job, run: Mapping[str, Any], data: DataSet, budgets: Sequence[Budget]) -> dict[str, Any]:
    """Return error and loss of each budget's mean weights, with statistics refreshed on the clean training set."""
    constants = NORMALIZATIONS[run["train"]["normalization"]]
    model, engine = load_checkpoint(budgets[0].members[0].path).build(), _engine(job)
    train, size = normalize(data.train_images, constants), job.settings["refresh_batch_size"]
    refreshed = Statistics(model, train, batch_size=size, device=engine["device"])
    evaluator = Evaluator(model, {"test": (normalize(data.test_images, constants), data.test_labels)}, **engine)

    def measured(budget: Budget) -> dict[str, float]:
        test = evaluator(refreshed(average_weights([member.path for member in budget.members])))["test"]
        return {"error": 1 - test.accuracy, "loss": test.loss}

    found = []
    for i, budget in enumerate(budgets):
        kept = job.work / f"averaged_{i}.json"
        found.append(kept_values(kept, partial(measured, budget)))
    return {
        "errors": [each["error"] for each in found],
        "losses": [each["loss"] for each in found],
        "members": [len(budget.members) for budget in budgets],
    }


def _scored(job: Job, run: Mapping[str, Any], data: DataSet, budgets: Sequence[Budget]) -> dict[str, Any]:
    """Write `predictions.h5` and return everything that is arithmetic on it, and the averages of weights."""
    predictions = _predicted(job, run, data, budgets)
    predictions.save(job.out / "predictions.h5")
    bins = job.settings["calibration_bins"]
    names = zip(predictions.budget.tolist(), predictions.members, predictions.epoch.tolist(), strict=True)
    described = [{"budget": budget, "name": name, "epoch": epoch} for budget, name, epoch in names]
    scores = member_scores(predictions)
    return {
        "members": [{**about, **found} for about, found in zip(described, scores, strict=True)],
        "one_budget": one_budget(predictions, bins=bins),
        "pooled": pooled(predictions, bins=bins),
        "by_size": by_size(predictions, bins=bins),
        "averaged": _averaged(job, run, data, budgets) if job.settings["average_weights"] else None,
    }


def _schedule(run: Mapping[str, Any], cycles: Path | None, examples: int) -> dict[str, Any]:
    """Return the learning-rate schedule of the method: the run's own, or that of the cycles in a folder."""
    if cycles is not None:
        about = read_json(cycles / "fge.json")
        names = ("low", "cycle_epochs", "epochs", "steps_per_epoch", "start")
        return {"name": "fge_triangle", "lr": about["high"], **{name: about[name] for name in names}}
    train = run["train"]
    options = {name: value for name, value in train["schedule_options"].items() if value is not None}
    steps = steps_per_epoch(examples, train["batch_size"])
    return {
        "name": train["schedule"],
        "lr": train["lr"],
        "epochs": train["epochs"],
        "steps_per_epoch": steps,
        **options,
    }


def compute(job: Job) -> None:
    """Write `ensemble.json` and `predictions.h5`; without all members only the first, which says why.

    Errors are fractions, losses nats per example. Convolutions on a GPU round as in the run's training, so that a
    member has the loss it had there.
    """
    settings = job.settings
    run = read_json(job.inputs["run"] / "run.json")
    budgets = read_budgets(job.inputs, settings)
    data = load_checked(job)
    reason = next((budget.problem for budget in budgets if budget.problem), "")
    with tensor_cores(settings["device"], tf32=run["train"]["precision"] == "tf32"):
        found = _NOTHING if reason else _scored(job, run, data, budgets)
    cycles = job.inputs["budget0.0"] if settings["method"] == "fge" else None
    about = {
        "status": "skipped" if reason else "finished",
        "reason": reason,
        **{key: run[key] for key in ("run", "family", "options", "num_classes", "title", "train")},
        "run_title": run["title"],
        **{key: settings[key] for key in _COPIED},
        "test_examples": len(data.test_labels),
        "budgets": [budget.account() for budget in budgets],
        "schedule": _schedule(run, cycles, len(data.train_labels)),
    }
    write_json(job.out / "ensemble.json", {**about, **found})
