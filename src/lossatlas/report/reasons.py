"""Why a number of ours is not, or may not be, the published one: what differs, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.ensembles import FULL
from lossatlas.report.networks import SCALES, differences, network_named
from lossatlas.report.variants import VARIANTS, departures


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


def run_reasons(run: str, results: Results, *, epochs: int) -> list[str]:
    """Return what differs between a run and the published one that its name stands for.

    Args:
        run: its name.
        results: what was computed.
        epochs: of the published run.
    """
    done = results.runs.get(run)
    if done is None:
        return []
    found = data_reasons(str(done.info["data"]), results) + network_reasons(network_named(run), done.info)
    found += [*epoch_reasons(done.train.get("epochs"), epochs), *departures(run, done.train)]
    variant, batch = VARIANTS.get(run), done.train.get("batch_size")
    if variant and batch and batch != variant.batch_size:
        found.append(f"batch {batch:,} instead of {variant.batch_size:,}")
    return list(dict.fromkeys(found))
