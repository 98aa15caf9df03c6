"""Figures of ensembles: cycles of FGE (Figure 3 of Garipov et al.), and error against the number of members."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lossatlas.report.ensembles import METHODS, ensemble_name
from lossatlas.report.figures import details_modes, modes
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.cycles import CyclePanel, cycle_figure
from lossatlas.report.figures.sizes import Grown, Scores, SizePanel, size_figure
from lossatlas.report.wording import NOT_RUN, listed
from lossatlas.results import Floats


def cycles(atlas: Atlas) -> Drawing:
    """Return learning rate, test error and distance of every network's first training in cycles."""
    stems = modes.cycle_stems(atlas.results)
    blocks = modes.blocks(stems)
    figure = cycle_figure([[_cycle_panel(atlas, stem, stems) for stem in block] for block in blocks])
    shown = list(chain(*blocks))
    words = details_modes.budgets(stems, atlas.results, atlas.targets)
    return atlas.drawing("fge-cycles", figure, runs=shown, details=words)


def _cycle_panel(atlas: Atlas, stem: str, stems: Sequence[str]) -> CyclePanel:
    title = modes.stem_title(stem, atlas.results, among=stems)
    found = atlas.results.fges.get(stem)
    if found is None or found.history is None or not _finished(found.info):
        run = modes.names(atlas.results, "fge").get(stem, stem)
        absent = atlas.absent(run, found.info if found else None)
        return CyclePanel(title, "", None, np.empty(0), (), 0, 1, absent)
    info = found.info
    count = len(info["members"])
    subtitle = f"cycles of {info['cycle_epochs']} epochs, {count} member{'s' * (count != 1)}"
    return CyclePanel(
        title,
        subtitle,
        found.history,
        floats(info["distance"]),
        info["members"],
        info["start"],
        info["steps_per_epoch"],
    )


def floats(values: Sequence[Any]) -> Floats:
    """Return numbers of a JSON file, NaN where they are not known."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def sizes(atlas: Atlas) -> Drawing:
    """Return error and negative log-likelihood against the number of members, a column per network."""
    found = modes.ensemble_stems(atlas.results)
    blocks = modes.blocks(list(found))
    figure = size_figure([[_size_panel(atlas, stem, found) for stem in block] for block in blocks])
    done = [
        info
        for network, data in found.values()
        for method in METHODS
        if (info := atlas.results.ensembles.get(ensemble_name(network, data, method))) and _finished(info)
    ]
    counts = {int(info["test_examples"]) for info in done if info.get("test_examples")}
    words = [f"Means over {listed(counts)} test images."] * bool(counts)
    words += details_modes.budgets(list(found), atlas.results, atlas.targets)
    return atlas.drawing("ensemble-size", figure, runs=list(chain(*blocks)), details=words)


def _finished(info: Mapping[str, Any] | None) -> bool:
    return info is not None and info["status"] == "finished"


def _size_panel(atlas: Atlas, stem: str, stems: Mapping[str, tuple[str, str]]) -> SizePanel:
    network, data = stems.get(stem, (stem, ""))
    title = modes.stem_title(stem, atlas.results, among=stems)
    infos = {method: atlas.results.ensembles.get(ensemble_name(network, data, method)) for method in METHODS}
    known = {method: grown(info) if info is not None and _finished(info) else None for method, info in infos.items()}
    missing = {method: atlas.absent(stem, infos[method]) for method, found in known.items() if found is None}
    some = "; ".join(f"{METHODS[method]}: {words}".replace("\n", " ") for method, words in missing.items())
    absent = "\n".join(dict.fromkeys(missing.values())) or NOT_RUN
    return SizePanel(title, some if len(missing) < len(METHODS) else "", known, absent)


def grown(info: Mapping[str, Any]) -> Grown:
    """Return the scores of an ensemble's first budget by the number of members, and of pooled budgets."""
    pooled = {int(row["budgets"]): _scores([row]) for row in info.get("pooled") or []}
    return Grown(_scores(info.get("by_size") or []), pooled)


def _scores(rows: Sequence[Mapping[str, Any]]) -> Scores:
    members, error, loss = (floats([row[key] for row in rows]) for key in ("members", "error", "loss"))
    return Scores(members, error, loss)
