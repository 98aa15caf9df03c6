"""Stage `fge`: fast geometric ensembling, the end of a budget trained in short cycles from a run's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.data import DataSet
from lossatlas.engine.device import usable_device
from lossatlas.ensembles.members import cycle_epochs
from lossatlas.files import read_json, write_json
from lossatlas.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lossatlas.randomness import derived_seed
from lossatlas.results import History
from lossatlas.sealed import read_values, write_values
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job
from lossatlas.training.batches import steps_per_epoch
from lossatlas.training.loop import train
from lossatlas.training.recipe import Recipe

_FINAL = ("train_loss", "train_error", "test_loss", "test_error")

_NOTHING: Mapping[str, Any] = {
    "status": "skipped",
    "members": [],
    "distance": [],
    "start_test_error": None,
    "final": dict.fromkeys(_FINAL),
}


def _recipe(run: Mapping[str, Any], settings: Mapping[str, Any]) -> Recipe:
    """Return the run's own recipe in cycles; every epoch is kept, for its distance from the start."""
    cycles = {
        "epochs": settings["epochs"],
        "lr": settings["high"],
        "schedule": "fge_triangle",
        "schedule_options": {key: settings[key] for key in ("low", "cycle_epochs")},
        "checkpoints": (),
        "checkpoint_every": 1,
    }
    return Recipe(**{**run["train"], **cycles})


def _start(job: Job, run: Mapping[str, Any]) -> Path:
    """Return the file of the weights that the cycles begin at."""
    epoch = job.settings["start"]
    name = "final" if epoch == run["train"]["epochs"] else f"epoch_{epoch:04d}"
    return job.inputs["run"] / f"{name}.safetensors"


def _distance(network: nn.Module, start: Mapping[str, Tensor]) -> float:
    """Return the L2 distance from `start` in all parameters, summed in float64."""
    parts = [(p.detach().double() - start[name].to(p.device)).square().sum() for name, p in network.named_parameters()]
    return float(torch.stack(parts).sum().sqrt())


class _Kept:
    """Keeps the members and, in a file that survives a kill, each epoch's distance from the start."""

    def __init__(self, job: Job, start: Checkpoint, members: list[int]) -> None:
        self._start, self._members, self._out, self._job = start, members, job.out, job
        self._file = job.work / "distance.json"

    def distances(self) -> dict[str, float | None]:
        """Return the distance by epoch, as far as known; None where the weights are not finite."""
        found: dict[str, float | None] = read_values(self._file) if self._file.is_file() else {}
        return found

    def path(self, epoch: int) -> Path:
        """Return where the member of an epoch lies."""
        return self._out / f"member_{epoch:04d}.safetensors"

    def __call__(self, epoch: int, trained: nn.Module) -> None:
        """Keep what belongs to an epoch; called again for the same epoch after a kill."""
        model = self._start.model or {}
        if epoch in self._members:
            behind = self._job.settings["start"] + epoch
            save_checkpoint(self.path(epoch), trained, epoch=behind, extra={"cycles_epoch": epoch}, **model)
        write_values(self._file, {**self.distances(), str(epoch): _distance(trained, self._start.state)})

    def complete(self) -> bool:
        """Tell whether everything is there that was kept up to the last epoch known."""
        done = max(map(int, self.distances()), default=-1)
        return done >= 0 and all(self.path(epoch).is_file() for epoch in self._members if epoch <= done)


def _trained(job: Job, run: Mapping[str, Any], data: DataSet, kept: _Kept, start: Checkpoint) -> History:
    state = job.work / "state.pt"
    if not kept.complete():  # someone removed what was kept so far: it can only be had from the start
        state.unlink(missing_ok=True)
    history, job.facts["epoch_seconds"] = train(
        start.build(),
        data,
        _recipe(run, job.settings),
        seed=derived_seed(job.settings["seed"], "fge"),
        keep=kept,
        state=state,
        device=usable_device(job.settings["device"]),
        on_epoch=job.on_epoch,
        label=job.name,
        provenance={"run": run["run"], "seed": job.settings["seed"], "weights": start.weights_hash},
    )
    history.save(job.out / "history.h5")
    return history


def _cycled(job: Job, run: Mapping[str, Any], data: DataSet, members: list[int]) -> dict[str, Any]:
    """Train in cycles and return what `fge.json` says of it; of cycles that diverged only the history stays."""
    start = load_checkpoint(_start(job, run))
    kept = _Kept(job, start, members)
    history = _trained(job, run, data, kept, start)
    finished = history.status == "finished"
    for epoch in members if not finished else []:
        kept.path(epoch).unlink(missing_ok=True)
    distances = kept.distances()
    return {
        "status": "finished" if finished else "skipped",
        "reason": "" if finished else f"the cycles diverged ({history.note})",
        "members": members if finished else [],
        "distance": [distances[str(epoch)] for epoch in history.epoch],
        "start_test_error": float(history.test_error[0]),
        "final": {name: float(getattr(history, name)[-1]) if finished else None for name in _FINAL},
    }


def _problem(job: Job, run: Mapping[str, Any]) -> str:
    """Return why the cycles cannot begin, "" if they can."""
    if run["status"] != "finished":
        return f"the run diverged ({run['note']})"
    return "" if _start(job, run).is_file() else f"the run keeps no weights of epoch {job.settings['start']}"


def compute(job: Job) -> None:
    """Write `fge.json`, `history.h5` and the members, `member_<epoch of the cycles>.safetensors`.

    The run's own recipe goes on with the learning rate of Garipov et al. 2018, section 4: a triangle between `high`
    and `low` in every cycle. A checkpoint holds weights only, so momentum starts at zero. The order of the examples,
    augmentation and dropout are those of the settings' seed under the name `fge`, other than the run's own. Row 0 of
    the history is the checkpoint.
    """
    settings = job.settings
    run = read_json(job.inputs["run"] / "run.json")
    data = load_checked(job)
    members = cycle_epochs(settings["epochs"], settings["cycle_epochs"])
    reason = _problem(job, run)
    found = _cycled(job, run, data, members) if not reason else {**_NOTHING, "reason": reason}
    size = run["train"]["batch_size"]
    about = {
        **{key: run[key] for key in ("run", "family", "options", "data", "num_classes")},
        "run_title": run["title"],
        "normalization": run["train"]["normalization"],
        **{key: settings[key] for key in ("start", "epochs", "cycle_epochs", "high", "low", "seed")},
        "batch_size": size,
        "steps_per_epoch": steps_per_epoch(len(data.train_labels), size),
    }
    write_json(job.out / "fge.json", {**about, **found})
