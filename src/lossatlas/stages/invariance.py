"""Stage `invariance`: lines through a run's weights before and after rescalings that leave the function unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossatlas.engine.evaluator import Evaluator, model_state
from lossatlas.files import read_json, write_json
from lossatlas.landscape.directions import Direction, Normalization, random_direction
from lossatlas.landscape.rescaling import rescale_filters, rescale_layers
from lossatlas.landscape.surfaces import line
from lossatlas.results import VALUES, Floats, Line, Profile
from lossatlas.stages.job import Job
from lossatlas.stages.landscape import Subject, account, axis, engine_settings, load_subject

AS_TRAINED = "as trained"
CUTS: tuple[Normalization, ...] = ("filter", "none")
# below this loss, in nats, differences are relative to it: rounding alone changes tiny losses by much
FLOOR = 0.01


def _rows(job: Job) -> tuple[str, str, str]:
    layer, filters = (job.settings[key] for key in ("relu_factor", "norm_factor"))
    return AS_TRAINED, f"one layer x {layer:g}, next / {layer:g}", f"filters x {filters:g}"


def _states(job: Job, subject: Subject) -> dict[str, dict[str, Tensor]]:
    """Return the weights of each row; all have the same function."""
    trained = {name: tensor.clone() for name, tensor in model_state(subject.model).items()}
    layers = rescale_layers(subject.model, job.settings["relu_factor"])
    filters = rescale_filters(subject.model, job.settings["norm_factor"])
    return dict(zip(_rows(job), (trained, layers, filters), strict=True))


def _direction(job: Job, state: Mapping[str, Tensor], normalization: Normalization) -> Direction:
    """Return the direction that a plot of these weights takes: the same random numbers for all of them."""
    return random_direction(
        state, seed=job.settings["seed"], normalization=normalization, exclude_1d=job.settings["exclude_1d"]
    )


def _length(direction: Direction) -> float:
    return float(torch.sqrt(sum((t.double().square().sum() for t in direction.tensors.values()), torch.zeros(()))))


def _alpha(job: Job, trained: Mapping[str, Tensor], normalization: Normalization) -> Floats:
    """Return the coordinates; unnormalized ones reach as far from the trained weights as normalized ones."""
    lengths = [_length(_direction(job, trained, kind)) for kind in ("filter", normalization)]
    return axis(job.settings["alpha"]) * (lengths[0] / lengths[1])


def _line(job: Job, subject: Subject, normalization: Normalization, number: int, alpha: Floats) -> Line:
    """Return the line through the weights that the subject's network has now."""
    return line(
        subject.model,
        subject.train,
        direction=_direction(job, model_state(subject.model), normalization),
        alpha=alpha,
        journal=job.work / f"{normalization}_{number}.jsonl",
        **engine_settings(job),
    )


def _profile(job: Job, subject: Subject, states: Mapping[str, Mapping[str, Tensor]], cut: Normalization) -> Profile:
    alpha, lines = _alpha(job, states[AS_TRAINED], cut), []
    for number, state in enumerate(states.values()):
        subject.model.load_state_dict(dict(state))
        lines.append(_line(job, subject, cut, number, alpha))
    subject.model.load_state_dict(dict(states[AS_TRAINED]))
    values: dict[str, Any] = {name: np.stack([getattr(row, name) for row in lines]) for name in (*VALUES, "computed")}
    notes = [f"{row}: {found.note}" for row, found in zip(states, lines, strict=True) if found.note]
    return Profile(
        alpha=alpha,
        **values,
        curvature=np.full(len(lines), np.nan),
        rows=tuple(states),
        note="; ".join(notes),
        provenance={
            "directions": [found.provenance["direction"] for found in lines],
            "examples": len(subject.train[1]),
        },
    )


def _skipped(job: Job, note: str) -> Profile:
    alpha, rows = axis(job.settings["alpha"]), _rows(job)
    shape = (len(rows), len(alpha))
    empty: dict[str, Any] = {name: np.full(shape, np.nan) for name in VALUES}
    computed = np.zeros(shape, dtype=bool)
    return Profile(alpha=alpha, **empty, computed=computed, curvature=np.full(len(rows), np.nan), rows=rows, note=note)


def _function_differences(job: Job, subject: Subject, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    """Return for each rescaling max |logit - trained logit| / max |trained logit| over the training examples."""
    engine = {key: value for key, value in engine_settings(job).items() if key not in ("label", "executor")}
    evaluator = Evaluator(subject.model, {"train": subject.train}, fold=False, **engine)
    logits = {}
    for row, state in states.items():
        evaluator.load(state)
        logits[row] = evaluator.logits("train")
    trained = logits.pop(AS_TRAINED)
    return {row: float((found - trained).abs().max() / trained.abs().max()) for row, found in logits.items()}


def _line_differences(profile: Profile) -> dict[str, float]:
    """Return for each rescaling max |loss - trained loss| / max(trained loss, `FLOOR`) along the line.

    Points where both losses overflow agree; one where only one does differs by infinity.
    """
    trained, differences = profile.train_loss[0], {}
    for row, losses in zip(profile.rows[1:], profile.train_loss[1:], strict=True):
        finite = np.isfinite(losses), np.isfinite(trained)
        both = finite[0] & finite[1]
        found = np.abs(losses[both] - trained[both]) / np.maximum(trained[both], FLOOR)
        differences[row] = float(found.max(initial=0.0)) if np.array_equal(*finite) else float("inf")
    return differences


def compute(job: Job) -> None:
    """Write `filter.h5`, `none.h5` and `invariance.json`."""
    subject = load_subject(job)
    found: dict[str, Any] = {"function_difference": None, **{f"{cut}_difference": None for cut in CUTS}}
    note = f"the run diverged ({subject.run['note']})" if subject.diverged else ""
    if subject.diverged:
        profiles = {cut: _skipped(job, note) for cut in CUTS}
    else:
        states = _states(job, subject)
        found["function_difference"] = _function_differences(job, subject, states)
        profiles = {cut: _profile(job, subject, states, cut) for cut in CUTS}
        found |= {f"{cut}_difference": _line_differences(profile) for cut, profile in profiles.items()}
        note = "; ".join(f"{cut}: {profile.note}" for cut, profile in profiles.items() if profile.note)
    for cut, profile in profiles.items():
        profile.save(job.out / f"{cut}.h5")
    account(job, subject, name="invariance", note=note, skipped=subject.diverged)
    path = job.out / "invariance.json"
    write_json(path, {**read_json(path), **found})
