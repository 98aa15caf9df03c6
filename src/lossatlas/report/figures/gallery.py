"""Every figure of a report, in the order of the paper's numbers, with the words around it."""

from __future__ import annotations

from collections.abc import Iterator

from lossatlas.report.artefacts import Results
from lossatlas.report.figures import family_minimizers, family_studies, family_surfaces, family_training
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.targets import Targets

__all__ = ["Drawing", "draw_gallery"]


def draw_gallery(results: Results, targets: Targets) -> Iterator[Drawing]:
    """Yield every figure: the paper's by their numbers, then further ones; surfaces share one scale."""
    atlas = Atlas(results, targets)
    yield family_surfaces.figure1(atlas)
    yield family_surfaces.figure1_linear(atlas)
    yield family_minimizers.figure2(atlas)
    yield family_minimizers.figure3(atlas)
    yield family_surfaces.figure4(atlas)
    yield family_surfaces.figure5(atlas)
    yield family_surfaces.figure6(atlas)
    yield family_surfaces.figure7(atlas)
    yield family_training.figure8(atlas)
    yield family_training.figure9(atlas)
    yield family_training.figure10(atlas)
    yield from family_minimizers.figures11_to_14(atlas)
    yield family_surfaces.figure15(atlas)
    yield family_minimizers.figure16(atlas)
    yield family_surfaces.figure17(atlas)
    yield family_training.figure18(atlas)
    yield family_training.figure19(atlas)
    yield from family_studies.studies(atlas)
    yield from family_surfaces.further(atlas)
    yield from family_training.further(atlas)
    yield from family_minimizers.further(atlas)
