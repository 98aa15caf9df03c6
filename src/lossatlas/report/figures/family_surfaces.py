"""Figures of surfaces about trained weights: 1, 4 to 7 and 17 of Li et al., and further ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Surface
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.contours import contour_figure
from lossatlas.report.figures.eigenvalues import EigenvaluePanel, convergence, eigenvalue_figure
from lossatlas.report.figures.seen import lowest_points
from lossatlas.report.figures.surfaces import LINEAR_CAP, surface_figure
from lossatlas.report.wording import nats

WIDE = 4  # panels in a row of further surfaces


def figure1(atlas: Atlas) -> Drawing:
    """Return ResNet-56 without and with shortcuts in perspective."""
    return _perspective(atlas, "figure-1", catalogue.FIGURE1)


def figure1_linear(atlas: Atlas) -> Drawing:
    """Return Figure 1 with a linear height."""
    runs = catalogue.FIGURE1
    figure = surface_figure([atlas.panel(run) for run in runs], scale=atlas.scale, log_z=False)
    words = [f"Losses above {nats(LINEAR_CAP)} are drawn at that height."]
    return atlas.drawing("figure-1-linear", figure, runs=runs, details=words)


def figure4(atlas: Atlas) -> Drawing:
    """Return a chaotic and a smooth surface in perspective."""
    return _perspective(atlas, "figure-4", catalogue.FIGURE4)


def figure5(atlas: Atlas) -> Drawing:
    """Return ResNets of growing depth."""
    return _contours(atlas, "figure-5", catalogue.FIGURE5)


def figure6(atlas: Atlas) -> Drawing:
    """Return ResNets of growing width."""
    return _contours(atlas, "figure-6", catalogue.FIGURE6)


def figure7(atlas: Atlas) -> Drawing:
    """Return maps of the Hessian's extremes."""
    panels, results = [], atlas.results
    found = {run: results.hessians.get(run) for run in catalogue.FIGURE7}
    for run, item in found.items():
        surface = results.plane_of(run)
        absent = atlas.absent(run, item.info if item else None)
        plane = surface.plane if surface else None
        panels.append(EigenvaluePanel(atlas.title(run), atlas.numbers(run), item.map if item else None, plane, absent))
    figure = eigenvalue_figure(panels, initialization=atlas.initialization)
    drawn = [item for item in found.values() if item and item.map]
    sizes = [f"{len(item.map.x)} × {len(item.map.y)}" for item in drawn if item.map]
    words = [
        details.FILTERS,
        *details.extent(sizes, [{"samples_train": item.info.get("samples_train")} for item in drawn]),
    ]
    words += [f"{atlas.title(run)}: {convergence(item.map)}." for run, item in found.items() if item and item.map]
    words += ["Points that did not converge are hatched."] * bool(drawn)
    return atlas.drawing("figure-7", figure, runs=catalogue.FIGURE7, details=words)


def figure17(atlas: Atlas) -> Drawing:
    """Return several planes of ResNet-56 without shortcuts."""
    names, run = catalogue.FIGURE17, catalogue.FIGURE17[0]
    panels = [atlas.plane(name, run, f"directions {i}") for i, name in enumerate(names, 1)]
    figure = contour_figure([panels], scale=atlas.scale, initialization=atlas.initialization)
    shown = [atlas.results.planes[name] for name in names if name in atlas.results.planes]
    return atlas.drawing("figure-17", figure, runs=[run], details=_about(atlas, shown))


def further(atlas: Atlas) -> Drawing | None:
    """Return one figure of the planned planes that no other shows, if there are any."""
    left = further_planes(atlas)
    if not left:
        return None
    panels = []
    for name, run in left.items():
        title = atlas.title(run) + ("" if name == run else f"\n{name}")
        panels.append(atlas.plane(name, run, title))
    rows = [panels[i : i + WIDE] for i in range(0, len(panels), WIDE)]
    figure = contour_figure(rows, scale=atlas.scale, initialization=atlas.initialization)
    shown = [atlas.results.planes[name] for name in left if name in atlas.results.planes]
    return atlas.drawing("further-surfaces", figure, runs=left.values(), details=_about(atlas, shown))


def further_planes(atlas: Atlas) -> dict[str, str]:
    """Return the planned planes that no numbered figure shows, with their runs."""
    rows = (*catalogue.FIGURE5, *catalogue.FIGURE6, *catalogue.RESNET56_EIGHT)
    runs = {*chain(*rows), *catalogue.FIGURE1, *catalogue.FIGURE3, *catalogue.FIGURE4}
    first = {surface.name for run in runs if (surface := atlas.results.plane_of(run))} | set(catalogue.FIGURE17)
    planned = atlas.results.planned_planes.items()
    return {name: run for name, run in planned if name not in first and not (run in runs and name == run)}


def _perspective(atlas: Atlas, identifier: str, runs: Sequence[str]) -> Drawing:
    figure = surface_figure([atlas.panel(run) for run in runs], scale=atlas.scale)
    shown = _planes_of(atlas, runs)
    words = details.surfaces(shown, cap=10**atlas.scale.high, drawn_at=True)
    seen = {"lowest": lowest_points(surface.plane for surface in shown if surface.plane)}
    return atlas.drawing(identifier, figure, runs=runs, details=words, seen=seen)


def _contours(atlas: Atlas, identifier: str, rows: Sequence[Sequence[str]]) -> Drawing:
    panels = [[atlas.panel(run) for run in row] for row in rows]
    labels, level = catalogue.ROWS, atlas.initialization
    figure = contour_figure(panels, scale=atlas.scale, row_labels=labels, initialization=level)
    runs = list(chain(*rows))
    return atlas.drawing(identifier, figure, runs=runs, details=_about(atlas, _planes_of(atlas, runs)))


def _planes_of(atlas: Atlas, runs: Sequence[str]) -> list[Surface]:
    return [surface for run in runs if (surface := atlas.results.plane_of(run))]


def _about(atlas: Atlas, shown: Sequence[Surface]) -> list[str]:
    return details.surfaces(shown, cap=10**atlas.scale.high)
