"""Stage `slices`: curvatures of random slices through a small network beside its full spectrum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad

from lossatlas.data import NORMALIZATIONS, normalize
from lossatlas.files import write_json
from lossatlas.landscape.slices import (
    SmallNetwork,
    descend,
    full_condition,
    measured_curvatures,
    rounding_of,
    same_distribution,
    slice_conditions,
    slice_curvatures,
    small_network,
    spectrum,
    weighted_curvatures,
)
from lossatlas.results import SliceCurvatures
from lossatlas.stages.data import load_checked
from lossatlas.stages.job import Job


def _network(job: Job) -> SmallNetwork:
    data = load_checked(job)
    n = job.settings["examples"]
    if n > len(data.train_labels):
        raise ValueError(f"examples = {n} of {job.name}: the data set has {len(data.train_labels)}; use fewer")
    images = normalize(data.train_images[:n], NORMALIZATIONS["li"], dtype=torch.float64)
    sizes = {key: job.settings[key] for key in ("pool", "hidden")}
    return small_network((images, data.train_labels[:n]), classes=data.num_classes, **sizes)


def _curvatures(job: Job, network: SmallNetwork, weights: Tensor) -> SliceCurvatures:
    draws = {"seed": job.settings["seed"], "directions": job.settings["directions"]}
    eigenvalues = spectrum(network.loss, weights)
    low, high = slice_curvatures(network.loss, weights, slices=draws["directions"], seed=draws["seed"])
    return SliceCurvatures(
        eigenvalue=eigenvalues,
        measured=measured_curvatures(network.loss, weights, **draws),
        weighted=weighted_curvatures(eigenvalues, **draws),
        slice_min=low,
        slice_max=high,
        provenance={**draws, "examples": len(network.labels), "weights": network.size},
    )


def _summary(found: SliceCurvatures) -> dict[str, Any]:
    values, off = found.eigenvalue, rounding_of(found.eigenvalue)
    beyond = (found.slice_min < values[0] - off) | (found.slice_max > values[-1] + off)
    return {
        "condition": {
            "full": full_condition(values),
            "slice_median": float(np.median(slice_conditions(found.slice_min, found.slice_max))),
        },
        "lambda_max": float(values[-1]),
        "lambda_min": float(values[0]),
        "negative_fraction": float((values < -off).mean()),
        "slices": len(found.slice_min),
        "slices_nonconvex": float((found.slice_min < -off).mean()),
        "slices_beyond_spectrum": float(beyond.mean()),
        "weighted_p_value": same_distribution(found.measured, found.weighted),
        "mean_curvature": [float(found.measured.mean()), float(values.mean())],
        "mean_curvature_error": float(found.measured.std() / math.sqrt(len(found.measured))),
    }


def compute(job: Job) -> None:
    """Write `slices.h5` and `slices.json`; on the CPU in float64, whatever the device.

    The curvatures are those at the end of training. At the start, where more of the spectrum is negative, the numbers
    alone are kept: there slices are not convex, and the claim that the whole is then not convex either can fail.
    """
    network = _network(job)
    start = network.initial(seed=job.settings["seed"])
    weights = descend(network.loss, start, steps=job.settings["steps"])
    found = _curvatures(job, network, weights)
    found.save(job.out / "slices.h5")
    about = {
        "data": job.settings["data"],
        "status": "finished",
        "reason": "",
        "parameters": network.size,
        "samples_train": len(network.labels),
        "train_loss": float(network.loss(weights)),
        "gradient_norm": float(torch.linalg.vector_norm(grad(network.loss)(weights))),
        **_summary(found),
        "start": {"train_loss": float(network.loss(start)), **_summary(_curvatures(job, network, start))},
    }
    write_json(job.out / "slices.json", about)
