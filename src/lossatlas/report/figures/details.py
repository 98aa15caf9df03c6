"""Sentences of captions with numbers from the results: points, images, batch sizes, limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.figures.axes import plain_number
from lossatlas.report.figures.scale import CAP
from lossatlas.report.targets import Targets
from lossatlas.report.variants import BATCHES, DECAY, VARIANTS, departures
from lossatlas.report.wording import listed, nats, percent
from lossatlas.results import Floats, Line, SampledPlane

FILTERS = "Axes are multiples of two random directions, normalized filter by filter."
CUT_OFF = f"Losses above {10**CAP:g} lie beyond the frame."


def extent(points: Iterable[str], infos: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return how many points were evaluated, and on how many images.

    Args:
        points: the size of each grid in words.
        infos: the account of each stage.
    """
    sizes = " or ".join(sorted(set(points)))
    if not sizes:
        return []
    counts = {
        kind: {int(info[f"samples_{kind}"]) for info in infos if info.get(f"samples_{kind}")}
        for kind in ("train", "test")
    }
    images = [f"{listed(counts['train'])} training"] * bool(counts["train"])
    images += [f"{listed(counts['test'])} test"] * bool(counts["test"])
    return [f"{sizes} points, each the mean over {' and '.join(images)} images." if images else f"{sizes} points."]


def reach(axes: Sequence[Floats], papers: float | None) -> list[str]:
    """Return how far axes reach, beside those of Li et al.

    Args:
        axes: the coordinates, an array per panel.
        papers: how far the paper's axes reach on both sides, None where it does not say.
    """
    if not axes or papers is None:
        return []
    ends = min(float(axis.min()) for axis in axes), max(float(axis.max()) for axis in axes)
    theirs = (-papers, papers)
    beside = "as in the paper" if np.allclose(ends, theirs) else f"in the paper {_span(theirs)}"
    return [f"The axes reach {_span(ends)}, {beside}."]


def _span(ends: tuple[float, float]) -> str:
    return f"from {plain_number(ends[0])} to {plain_number(ends[1])}"


def surfaces(shown: Sequence[Surface], *, cap: float, drawn_at: bool = False) -> list[str]:
    """Return what holds for surfaces about trained weights: axes, colours, points.

    Args:
        shown: the surfaces.
        cap: the loss above which all have one colour.
        drawn_at: whether they are also cut off at that height.
    """
    drawn = [item for item in shown if item.plane]
    beyond = "are drawn at that height" if drawn_at else "have one colour"
    sizes = [f"{len(item.plane.x)} × {len(item.plane.y)}" for item in drawn if item.plane]
    infos = [{key: item.info.get(key) for key in ("samples_train",)} for item in drawn]
    colours = f"One colour scale for every surface of this report; losses above {nats(cap)} {beyond}."
    return [FILTERS, colours, *extent(sizes, infos), *sampled(drawn), *rounded(drawn)]


def sampled(shown: Sequence[Surface]) -> list[str]:
    """Return which of some surfaces are exact, and which estimates, from how many images, and by how much off."""
    if not any(item.plane for item in shown):
        return []
    planes = [item.plane for item in shown if isinstance(item.plane, SampledPlane)]
    errors = np.concatenate([np.empty(0), *(plane.train_loss_se.ravel() for plane in planes)])
    images = np.concatenate([np.empty(0), *(plane.train_n.ravel() for plane in planes)])
    guessed = np.isfinite(errors) & (errors > 0)
    if not guessed.any():
        return ["All values are exact means over these images."]
    where = "" if len(planes) == len(shown) else f" On {len(planes)} of {len(shown)} planes"
    tolerances = {(found["rtol"], found["atol"]) for item in shown if (found := item.info.get("sampling"))}
    allowed = " or ".join(f"{nats(atol)} + {percent(rtol)} of the loss" for rtol, atol in sorted(tolerances))
    return [
        f"{where} {int(guessed.sum()):,} of {guessed.size:,} values are estimated from samples of the images "
        f"({int(np.median(images[guessed])):,} at the median, standard error at most "
        f"{nats(float(errors[guessed].max()))}), within {allowed} at 95 % confidence; the others are exact.".strip()
    ]


def rounded(shown: Sequence[Surface]) -> list[str]:
    """Return which of some surfaces were evaluated in another precision than float32."""
    found = [str(item.plane.provenance.get("precision", "float32")) for item in shown if item.plane]
    others = sorted(set(found) - {"float32"})
    if not others:
        return []
    count = sum(precision in others for precision in found)
    where = "All planes are" if count == len(found) else f"{count} of {len(found)} planes are"
    return [f"{where} evaluated in {' or '.join(others)}, sums in float64."]


def training(runs: Sequence[str], results: Results, targets: Targets) -> list[str]:
    """Return epochs and batch sizes of runs beside those of Li et al."""
    done = [results.runs[run] for run in runs if run in results.runs]
    settings = [run.train for run in done if run.train.get("epochs") and run.train.get("batch_size")]
    if not settings:
        return []
    protocol = targets.content["li2018"]["protocol"]
    variants = [VARIANTS[run.name] for run in done if run.name in VARIANTS]
    compared = len({(item.network, item.large) for item in variants}) > 1
    papers = {BATCHES[item.network][item.large] for item in variants} if compared else {int(protocol["batch_size"])}
    ours = listed({int(item["batch_size"]) for item in settings}, word="and")
    epochs = listed({int(item["epochs"]) for item in settings}, word="and")
    words = [
        f"Trained for {epochs} epochs with batches of {ours} images; "
        f"in the paper {protocol['epochs']} epochs and {listed(papers, word='and')} images."
    ]
    others = {departures(run.name, run.train).get("weight_decay", "") for run in done} - {""}
    if others:
        words.append(f"Some by {' and '.join(sorted(others))}; in the paper {DECAY:g} where there is any.")
    plain = [run for run in done if "augment" in run.train and not run.train["augment"]]
    if plain:
        some = "None" if len(plain) == len(done) else "Not all"
        words.append(f"{some} with augmentation of images; in the paper all.")
    return words


def breaks(lines: Iterable[Line | None]) -> list[str]:
    """Return what ends a line that is not drawn as far as its axis, where there is one."""
    if all(line is None or np.isfinite(line.train_loss).all() for line in lines):
        return []
    return [
        "Where a curve breaks off the loss is not finite; beyond the minimizers of networks with batch norm that is so "
        "where running variances, which change along the line as the weights do, fall below zero."
    ]
