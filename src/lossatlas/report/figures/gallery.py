"""Every figure of a report, in order, with the words around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from matplotlib.figure import Figure

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.figures.captions import caption
from lossatlas.report.figures.contours import Panel, contour_figure
from lossatlas.report.figures.curves import Curve, convergence_figure
from lossatlas.report.figures.lines import LinePanel, line_figure
from lossatlas.report.figures.scale import LossScale, loss_scale
from lossatlas.report.figures.surfaces import surface_figure
from lossatlas.report.targets import Targets
from lossatlas.report.wording import DIVERGED, NOT_RUN, outcome, published_error, published_percent, run_title

WIDE = 4  # panels in a row of further surfaces


@dataclass(frozen=True)
class Drawing:
    """A figure with its identifier, title, caption and the paper's figure that it mirrors (empty if none)."""

    id: str
    title: str
    caption: str
    paper: str
    figure: Figure


def draw_gallery(results: Results, targets: Targets) -> Iterator[Drawing]:
    """Yield every figure of the report; surfaces share one scale."""
    atlas = _Atlas(results, targets)
    yield atlas.surfaces("figure-1", "Loss surfaces of ResNet-56", catalogue.FIGURE1, "Figure 1")
    yield atlas.surfaces("figure-4", "A chaotic and a smooth loss surface", catalogue.FIGURE4, "Figure 4")
    yield atlas.contours("figure-5", "Loss surfaces and depth", catalogue.FIGURE5, "Figure 5")
    yield atlas.contours("figure-6", "Loss surfaces and width", catalogue.FIGURE6, "Figure 6")
    further = atlas.further_planes()
    if further:
        rows = [further[i : i + WIDE] for i in range(0, len(further), WIDE)]
        figure = contour_figure(rows, scale=atlas.scale, initialization=atlas.initialization)
        yield atlas.drawing("further-surfaces", "Further surfaces", "", figure, runs=atlas.further_runs())
    yield atlas.vgg9_curves()
    yield atlas.curves("figure-19", "Convergence of the architectures", catalogue.FIGURE19, "Figure 19")
    shown = {run for runs in catalogue.FIGURE19.values() for run in runs}
    others = [run for run in results.planned_runs if run not in shown and not run.startswith("vgg9")]
    if others:
        groups = {results.title_of_data(run): [r for r in others if _same_data(results, run, r)] for run in others}
        yield atlas.curves("further-convergence", "Further convergence curves", groups, "")
    if results.planned_lines:
        figure, runs = line_figure(atlas.line_panels()), list(results.planned_lines.values())
        yield atlas.drawing("further-lines", "Further lines", "", figure, runs=runs)


def _same_data(results: Results, one: str, other: str) -> bool:
    return results.title_of_data(one) == results.title_of_data(other)


class _Atlas:
    def __init__(self, results: Results, targets: Targets) -> None:
        self.results = results
        self.targets = targets
        self.initialization = targets.claim_number("init_below_2_5")
        self.scale: LossScale = loss_scale(item.plane for item in results.planes.values() if item.plane)

    def drawing(self, identifier: str, title: str, paper: str, figure: Figure, *, runs: Sequence[str]) -> Drawing:
        text = caption(identifier, self.results, self.targets, runs=runs, cap=10**self.scale.high)
        return Drawing(identifier, title, text, paper, figure)

    def surfaces(self, identifier: str, title: str, runs: Sequence[str], paper: str) -> Drawing:
        figure = surface_figure([self.panel(run) for run in runs], scale=self.scale)
        return self.drawing(identifier, title, paper, figure, runs=runs)

    def contours(self, identifier: str, title: str, rows: Sequence[Sequence[str]], paper: str) -> Drawing:
        panels = [[self.panel(run) for run in row] for row in rows]
        figure = contour_figure(panels, scale=self.scale, row_labels=catalogue.ROWS, initialization=self.initialization)
        return self.drawing(identifier, title, paper, figure, runs=list(chain(*rows)))

    def curves(self, identifier: str, title: str, groups: Mapping[str, Sequence[str]], paper: str) -> Drawing:
        curves = {name: [self.curve(run) for run in runs] for name, runs in groups.items()}
        return self.drawing(identifier, title, paper, convergence_figure(curves), runs=list(chain(*groups.values())))

    def vgg9_curves(self) -> Drawing:
        runs = [run for run in self.results.planned_runs if run.startswith("vgg9")] or ["vgg9"]
        groups: dict[str, list[str]] = {}
        for run in runs:
            done = self.results.runs.get(run)
            decay = done.train.get("weight_decay") if done else None
            groups.setdefault("VGG-9" if decay is None else f"VGG-9, weight decay {decay:g}", []).append(run)
        return self.curves("figure-18", "Convergence of VGG-9", dict(sorted(groups.items())), "Figure 18")

    def numbers(self, run: str, *, gap: str = "   ") -> str:
        published = published_error(run, self.results, self.targets)
        beside = f"{gap}(published {published_percent(published)})" if published else ""
        return f"{outcome(self.results.runs.get(run))}{beside}"

    def panel(self, run: str) -> Panel:
        return self.fill(run, self.results.plane_of(run), run_title(run, self.results))

    def fill(self, run: str, surface: Surface | None, title: str) -> Panel:
        plane = surface.plane if surface else None
        return Panel(title, self.numbers(run), plane, self.absent(run, surface.info.get("reason") if surface else ""))

    def absent(self, run: str, reason: str | None) -> str:
        done = self.results.runs.get(run)
        if done is not None and done.diverged:
            return DIVERGED
        return f"skipped:\n{reason}" if reason else NOT_RUN

    def further(self) -> dict[str, str]:
        shown = {run for rows in (*catalogue.FIGURE5, *catalogue.FIGURE6) for run in rows}
        first = {surface.name for run in shown if (surface := self.results.plane_of(run))}
        planned = self.results.planned_planes.items()
        return {name: run for name, run in planned if name not in first and not (run in shown and name == run)}

    def further_runs(self) -> list[str]:
        return list(self.further().values())

    def further_planes(self) -> list[Panel]:
        panels = []
        for name, run in self.further().items():
            title = run_title(run, self.results) + ("" if name == run else f"\n{name}")
            panels.append(self.fill(run, self.results.planes.get(name), title))
        return panels

    def curve(self, run: str) -> Curve:
        done = self.results.runs.get(run)
        label = f"{run_title(run, self.results)}:\n{self.numbers(run, gap=' ')}"
        return Curve(label, done.history if done else None)

    def line_panels(self) -> list[LinePanel]:
        panels = []
        for name, run in self.results.planned_lines.items():
            cut = self.results.lines.get(name)
            title = run_title(run, self.results) + ("" if name == run else f"\n{name}")
            absent = self.absent(run, cut.info.get("reason") if cut else "")
            panels.append(LinePanel(title, self.numbers(run), cut.line if cut else None, absent))
        return panels
