"""Why a number of ours is not, or may not be, the published one: what differs, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.ensembles import FULL
from lossatlas.report.networks import SCALES, differences, network_named
from lossatlas.report.variants import VARIANTS, departures

# what `targets.yaml` says in comments and words
LOW = ("resnet110_noshort", "resnet56_noshort_lr001")
LOW_RATE, ADAM_RATE = 0.01, 0.001
AUGMENT = {"padding": 4, "flip": True}
WORDS = {"batch_size": "batch", "lr": "learning rate", "weight_decay": "weight decay"}


def data_reasons(data: str, results: Results) -> list[str]:
    """Return how a data set departs from the papers' images."""
    count = (results.data.get(data) or {}).get("train")
    if results.regime == "embedded" or data not in FULL:
        return [f"other data ({data}{f', {count:,} training images' if count else ''})"]
    return [f"{count:,} of {FULL[data]:,} training images"] if count is not None and count != FULL[data] else []


def network_reasons(network: str | None, info: Mapping[str, Any] | None) -> list[str]:
    """Return how a trained network departs from one of the papers, if they have it."""
    if info is None or not info.get("family"):
        return []
    options = info.get("options") or {}
    widths = SCALES.get(str(info["family"]), {})
    thin = [f"{key} {options[key]} instead of {size}" for key, size in widths.items() if options.get(key, size) != size]
    return [*(differences(network, info) if network else ()), *thin]


def epoch_reasons(epochs: int | None, published: int | None) -> list[str]:
    """Return that training was shorter or longer, if it was."""
    return [f"{epochs} of {published} epochs"] if epochs and published and epochs != published else []


def setting_reasons(train: Mapping[str, Any], published: Mapping[str, float]) -> list[str]:
    """Return which settings of a training are not the published ones; settings that are not known are none.

    Args:
        train: its batch size, learning rate, weight decay and augmentation, as far as they are known.
        published: those that are published, by the keys of `WORDS`; all papers augment as `AUGMENT` says.
    """
    found = [
        f"{WORDS[setting]} {train[setting]:,g} instead of {value:,g}"
        for setting, value in published.items()
        if train.get(setting) is not None and not math.isclose(train[setting], value)
    ]
    if train.get("augment", AUGMENT) != AUGMENT:
        found.append("another augmentation" if train["augment"] else "no augmentation")
    return found


def _li_reasons(run: str, train: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    variant = VARIANTS.get(run)
    adam = variant is not None and variant.optimizer == "adam"
    published = {
        "batch_size": variant.batch_size if variant else int(protocol["batch_size"]),
        "lr": ADAM_RATE if adam else LOW_RATE if run in LOW else float(protocol["lr"]),
        "weight_decay": variant.weight_decay if variant else float(protocol["weight_decay"]),
    }
    named = [text for setting, text in departures(run, train).items() if setting not in published]
    return named + setting_reasons(train, published)


def run_reasons(run: str, results: Results, protocol: Mapping[str, Any]) -> list[str]:
    """Return what differs between a run and the published one of Li et al. that its name stands for.

    Args:
        run: its name.
        results: what was computed.
        protocol: their settings, as `targets.yaml` has them.
    """
    done = results.runs.get(run)
    if done is None:
        return []
    found = data_reasons(str(done.info["data"]), results) + network_reasons(network_named(run), done.info)
    found += epoch_reasons(done.train.get("epochs"), int(protocol["epochs"]))
    found += _li_reasons(run, done.train, protocol)
    return list(dict.fromkeys(found))
