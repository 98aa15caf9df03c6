"""Sentences of captions about curves, planes through three points and ensembles, with numbers from the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import TITLES
from lossatlas.report.networks import split_run
from lossatlas.report.targets import Targets
from lossatlas.report.wording import listed

Info = Mapping[str, Any]


def refreshed(infos: Iterable[Info]) -> list[str]:
    """Return with how many images statistics of batch normalization were refreshed, or that there are none.

    Args:
        infos: the accounts of curves or planes; those whose statistics were not to be refreshed say nothing.
    """
    accounts = [info["refresh"] for info in infos if "refreshed" in (info.get("statistics") or ())]
    if not accounts:
        return []
    used = [account for account in accounts if account["layers"]]
    if not used:
        return ["These networks have no batch normalization, so nothing is refreshed."]
    examples = listed({int(account["examples"]) for account in used})
    batches = listed({int(account["batch_size"]) for account in used})
    words = f"Statistics are refreshed with {examples} training images in batches of {batches}."
    without = len(used) < len(accounts)
    return [words, *["Networks without batch normalization have none to refresh."] * without]


def statistics_words(info: Info) -> str:
    """Return how the statistics of batch normalization are set on a plane, as its subtitle."""
    if info["statistics"] == "frozen":
        return "statistics frozen: those of the first point"
    return "statistics refreshed at each point" if info["refresh"]["layers"] else "no batch normalization"


def budgets(stems: Sequence[str], results: Results, targets: Targets) -> list[str]:
    """Return how many epochs the networks were trained for, beside those of Garipov et al."""
    theirs: Mapping[str, int] = targets.content["garipov2018"]["protocol"]["budget_epochs"]
    found: dict[str, str] = {}
    for stem in stems:
        run, network = results.runs.get(stem), split_run(stem).base
        if run is None or not run.train.get("epochs"):
            continue
        beside = f" (in the paper {theirs[network]})" if network in theirs else ""
        found[network] = f"{TITLES.get(network, network)} {run.train['epochs']}{beside}"
    return [f"Epochs of a budget: {', '.join(found.values())}."] if found else []


def curve_epochs(infos: Iterable[Info]) -> list[str]:
    """Return for how many epochs curves were trained."""
    epochs = {int(info["epochs"]) for info in infos if info.get("epochs")}
    return [f"Curves were trained for {listed(epochs, word='and')} epochs."] if epochs else []
