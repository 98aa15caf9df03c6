"""Every figure of a report, in the order of the paper's numbers, with the words around it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

from lossatlas.report.artefacts import Results
from lossatlas.report.figures import (
    family_ensembles,
    family_interpolation,
    family_minimizers,
    family_modes,
    family_rates,
    family_studies,
    family_surfaces,
    family_training,
)
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.made import noting, ordered
from lossatlas.report.targets import Targets

__all__ = ["ALWAYS", "FURTHER", "Drawing", "draw_gallery"]

# in order: the figures of Li et al. by their numbers, our own about them, then those of modes and ensembles
ALWAYS: Mapping[str, Callable[[Atlas], Drawing]] = {
    "figure-1": family_surfaces.figure1,
    "figure-1-linear": family_surfaces.figure1_linear,
    "figure-2": family_interpolation.figure2,
    "figure-3": family_minimizers.figure3,
    "figure-4": family_surfaces.figure4,
    "figure-5": family_surfaces.figure5,
    "figure-6": family_surfaces.figure6,
    "figure-7": family_surfaces.figure7,
    "figure-8": family_training.figure8,
    "figure-9": family_training.figure9,
    "figure-10": family_training.figure10,
    **{name: partial(family_minimizers.eight, identifier=name) for name in family_minimizers.EIGHT},
    "figure-14": family_interpolation.figure14,
    "figure-15": family_minimizers.figure15,
    "figure-16": family_minimizers.figure16,
    "figure-17": family_surfaces.figure17,
    "figure-18": family_training.figure18,
    "figure-19": family_training.figure19,
    "scale-invariance": family_studies.invariance,
    "projected-curvature": family_studies.curvatures,
    "sharpness": family_studies.sharpness,
    "trainability": family_studies.trainability,
    "garipov-figure-1": family_modes.figure1,
    "garipov-figure-1-test": family_modes.figure1_test,
    "garipov-figure-2": family_modes.figure2,
    "fge-cycles": family_ensembles.cycles,
    "sse-trajectory": family_modes.snapshots,
    "schedules": family_rates.rates,
    "ensemble-size": family_ensembles.sizes,
}
# what no other figure shows, where there is any
FURTHER: Mapping[str, Callable[[Atlas], Drawing | None]] = {
    "further-surfaces": family_surfaces.further,
    "further-convergence": family_training.further,
    "further-lines": family_interpolation.further,
    "further-modes": family_modes.further,
}


def draw_gallery(results: Results, targets: Targets, *, only: Collection[str] | None = None) -> Iterator[Drawing]:
    """Yield every figure; surfaces share one scale.

    Args:
        results: what was computed.
        targets: the published numbers.
        only: the figures to draw, all if absent.

    Raises:
        ValueError: `only` has a name that no figure has.
    """
    makers: dict[str, Callable[[Atlas], Drawing | None]] = {**ALWAYS, **FURTHER}
    if unknown := set(only or ()) - set(makers):
        raise ValueError(f"only = {', '.join(sorted(unknown))}: no such figure; known: {', '.join(makers)}")
    watched, seen = noting(results)
    atlas = Atlas(watched, targets)
    for name, make in makers.items():
        seen.clear()
        drawing = make(atlas) if only is None or name in only else None
        if drawing is not None:
            yield replace(drawing, stages=tuple(ordered(seen)))
