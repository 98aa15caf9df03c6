"""Stage `curve`: join the final weights of two runs, and map the loss along the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from lossatlas.data import NORMALIZATIONS, DataSet, normalize
from lossatlas.engine.statistics import Statistics
from lossatlas.files import read_json, write_json
from lossatlas.landscape.curve_learner import CurveLearner, training_problem
from lossatlas.landscape.curve_losses import curve_losses
from lossatlas.landscape.curves import Curve
from lossatlas.models.checkpoint import Checkpoint, load_checkpoint
from lossatlas.randomness import derived_seed
from lossatlas.results import VALUES, CurveLosses, Floats, History
from lossatlas.stages.curve_nodes import Ends
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, engine_settings, load_subject
from lossatlas.stages.train import recipe_of
from lossatlas.training.loop import train

_LENGTHS = ("from_start", "from_end", "arc")


def _clean(job: Job, data: DataSet, run: Mapping[str, Any]) -> Tensor:
    """Return the clean training images that refresh the statistics of batch normalization."""
    n, count = job.settings["refresh_examples"], len(data.train_labels)
    if n is not None and n > count:
        raise ValueError(f"refresh_examples = {n} of {job.name}: the data set has {count}; use null for all")
    return normalize(data.train_images[:n], NORMALIZATIONS[run["train"]["normalization"]])


def _trained(job: Job, ends: Ends, data: DataSet) -> tuple[Curve, History]:
    """Train the curve of the settings; weights that are kept on the way lie in `job.work` until it is finished."""
    settings, recipe = job.settings, recipe_of(job.settings["train"])
    learner = CurveLearner(
        ends.start,
        ends.straight(settings),
        weight_decay=recipe.weight_decay,
        refresh_batch_size=settings["refresh_batch_size"],
        refresh_examples=settings["refresh_examples"],
        compile=recipe.compile,
    )

    def keep(epoch: int, _: nn.Module) -> None:
        curve = learner.curve
        for i in curve.free if 0 < epoch < recipe.epochs else ():
            name = f"epoch_{epoch:04d}_node_{i}.safetensors"
            ends.keep(job.work / "kept" / name, curve.nodes[i], epoch=epoch)

    history, job.facts["epoch_seconds"] = train(
        learner,
        data,
        # the penalty acts on the curve's points: the learner adds it
        replace(recipe, weight_decay=0.0),
        seed=derived_seed(settings["seed"], "curve"),
        keep=keep,
        state=job.work / "state.pt",
        device=settings["device"],
        on_epoch=job.on_epoch,
        label=job.name,
        provenance={"curve": job.name, "seed": settings["seed"], "weight_decay": recipe.weight_decay},
    )
    history.save(job.out / "history.h5")
    nodes = [{name: tensor.cpu() for name, tensor in node.items()} for node in learner.curve.nodes]
    return replace(learner.curve, nodes=tuple(nodes)), history


def _joined(job: Job, subject: Subject, end: Checkpoint) -> tuple[CurveLosses | None, str]:
    """Train the curve and map the loss along it: the result, or why there is none."""
    settings, ends, engine = job.settings, Ends.of(subject, end), engine_settings(job)
    data = load_checked(job)
    clean = _clean(job, data, subject.run)
    curve, history = (ends.straight(settings), None) if settings["train"] is None else _trained(job, ends, data)
    if reason := training_problem(curve, history):
        return None, reason
    losses = curve_losses(
        subject.model,
        curve,
        subject.train,
        subject.test,
        t=np.linspace(0, 1, settings["points"]),
        statistics=settings["statistics"],
        start_state=subject.model.state_dict(),
        end_state=end.state,
        refresh=clean,
        refresh_batch_size=settings["refresh_batch_size"],
        journal=job.work / "points.jsonl",
        **engine,
    )
    size = settings["refresh_batch_size"]
    refreshed = Statistics(subject.model, clean, batch_size=size, device=engine["device"])
    ends.save_nodes(job.out, curve, refreshed, epochs=_epochs(settings))
    ends.save_kept(job.out, job.work / "kept", refreshed)
    return losses, ""


def _epochs(settings: Mapping[str, Any]) -> int:
    return 0 if settings["train"] is None else int(settings["train"]["epochs"])


def _empty(settings: Mapping[str, Any], reason: str) -> CurveLosses:
    """Return a result of the usual shape without a value."""
    points, rows = settings["points"], settings["statistics"]
    shape = (len(rows), points)
    values: dict[str, Any] = {name: np.full(shape, np.nan) for name in VALUES}
    values |= {name: np.full(points, np.nan) for name in _LENGTHS}
    t = np.linspace(0, 1, points)
    return CurveLosses(t=t, **values, computed=np.zeros(shape, dtype=bool), rows=tuple(rows), note=reason)


def _row(losses: CurveLosses, row: int) -> dict[str, Any]:
    """Return what a row says of the way between its ends: extremes of the finite values, and how many are not."""
    train_loss, test_error = losses.train_loss[row], 1 - losses.test_accuracy[row]
    highest, ends = _largest(train_loss), _outer(train_loss)
    return {
        "barrier_train_loss": highest - float(np.max(ends)),
        "train_loss_ends": ends,
        "train_loss_max": highest,
        "not_finite": int((losses.computed[row] & ~np.isfinite(train_loss)).sum()),
        "test_loss_max": _largest(losses.test_loss[row]),
        "test_error_ends": _outer(test_error),
        "test_error_min": -_largest(-test_error),
        "test_error_max": _largest(test_error),
    }


def _largest(values: Floats) -> float:
    """Return the largest finite value, NaN if there is none."""
    return max(values[np.isfinite(values)].tolist(), default=float("nan"))


def _outer(values: Floats) -> list[float]:
    return [float(values[0]), float(values[-1])]


def compute(job: Job) -> None:
    """Write `curve.json`, `curve.h5`, the nodes as checkpoints and, of a curve that is trained, `history.h5`.

    The order of the examples, augmentation, dropout and t are those of the settings' seed under the name `curve`. Fixed
    ends are the runs' own weights; all other nodes have refreshed statistics. Checkpoints that the recipe asks for are
    `epoch_<epoch>_node_<node>.safetensors`. Of a curve that diverged only the history stays.
    """
    settings, subject = job.settings, load_subject(job)
    runs = (subject.run, read_json(job.inputs["end"] / "run.json"))
    reason = next((f"{run['run']} diverged ({run['note']})" for run in runs if run["status"] != "finished"), "")
    losses = None
    if not reason:
        losses, reason = _joined(job, subject, load_checkpoint(job.inputs["end"] / "final.safetensors"))
    result = losses or _empty(settings, reason)
    result.save(job.out / "curve.h5")
    about = {
        "status": "skipped" if reason else "finished",
        "reason": reason or result.note,
        **{key: subject.run[key] for key in ("run", "family", "options", "data", "num_classes")},
        "run_title": subject.run["title"],
        **{
            key: settings[key] for key in ("start", "end", "kind", "bends", "free_ends", "points", "statistics", "seed")
        },
        "refresh": result.provenance.get("refresh", {"examples": 0, "batch_size": None, "layers": 0}),
        "epochs": _epochs(settings),
        "samples_train": len(subject.train[1]),
        "samples_test": 0 if subject.test is None else len(subject.test[1]),
        "straight_distance": float(result.from_end[0]),
        "length": float(result.arc[-1]),
        "rows": {name: _row(result, i) for i, name in enumerate(result.rows)},
    }
    write_json(job.out / "curve.json", about)
