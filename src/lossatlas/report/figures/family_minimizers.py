"""Figures that compare minimizers along directions: 2, 3, 11 to 14 and 16 of Li et al., and further lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from lossatlas.report import catalogue
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.interpolation import Interpolation, interpolation_figure
from lossatlas.report.figures.lines import LinePanel, line_figure
from lossatlas.report.figures.minimizers import minimizer_figure
from lossatlas.report.figures.profiles import ProfilePanel, profile_figure

# figure: the cut that it shows, and the minimizers
EIGHT = {
    "figure-11": (catalogue.FIGURE11_CUT, catalogue.VGG9_EIGHT),
    "figure-12": (catalogue.FIGURE12_CUT, catalogue.VGG9_EIGHT),
    "figure-13": (catalogue.FIGURE13_CUT, catalogue.VGG9_EIGHT),
    "figure-14": (catalogue.FILTER_CUT, catalogue.RESNET56_EIGHT),
}


def figure2(atlas: Atlas) -> Drawing:
    """Return the interpolation between small and large batch, with weight norms and weights."""
    results, rows = atlas.results, []
    for decay, (name, *runs) in catalogue.FIGURE2.items():
        cut = results.lines.get(name)
        done = [results.runs.get(run) for run in runs]
        diverged = [run.name for run in done if run and run.diverged]
        rows.append(
            Interpolation(
                label=f"weight decay {decay}",
                subtitles=[f"{atlas.batch(run)}: {atlas.numbers(run, gap=' ')}" for run in runs],
                line=cut.line if cut else None,
                histories=[run.history if run else None for run in done],
                weights=[run.weights if run else None for run in done],
                absent=atlas.absent([*diverged, *runs][0], cut.info if cut else None),
            )
        )
    found = [results.lines[name] for name, *_ in catalogue.FIGURE2.values() if name in results.lines]
    sizes = [str(len(item.line.alpha)) for item in found if item.line]
    words = [*details.extent(sizes, [item.info for item in found]), details.CUT_OFF]
    runs = list(chain(*(pair for _, *pair in catalogue.FIGURE2.values())))
    return atlas.drawing("figure-2", interpolation_figure(rows), runs=runs, details=words)


def figure3(atlas: Atlas) -> Drawing:
    """Return four minimizers along a direction and on a plane."""
    runs = catalogue.FIGURE3
    profiles = [
        _panel(atlas, run, catalogue.FILTER_CUT, title=f"{atlas.decay(run)},\n{atlas.batch(run)}") for run in runs
    ]
    planes = [atlas.fill(run, atlas.results.plane_of(run), "", "") for run in runs]
    figure = minimizer_figure(profiles, planes, scale=atlas.scale, initialization=atlas.initialization)
    shown = [surface for run in runs if (surface := atlas.results.plane_of(run))]
    words = [f"Top: {text}" for text in _extent(atlas, runs, catalogue.FILTER_CUT)]
    words += [f"Bottom: {text}" for text in details.surfaces(shown, cap=10**atlas.scale.high)[2:]]
    return atlas.drawing("figure-3", figure, runs=runs, details=[*words, details.CUT_OFF])


def eight(atlas: Atlas, *, identifier: str) -> Drawing:
    """Return the eight minimizers of VGG-9 with one of three normalizations, or those of ResNet-56.

    Args:
        atlas: the results.
        identifier: a key of `EIGHT`.
    """
    cut, rows = EIGHT[identifier]
    panels = [[_panel(atlas, run, cut) for run in row] for row in rows]
    figure = profile_figure(panels, row_labels=[atlas.decay(row[0]) for row in rows])
    runs = list(chain(*rows))
    return atlas.drawing(identifier, figure, runs=runs, details=[*_extent(atlas, runs, cut), details.CUT_OFF])


def figure16(atlas: Atlas) -> Drawing:
    """Return four minimizers along several directions each."""
    runs, cut = catalogue.FIGURE16, catalogue.FILTER_CUT
    panels = [_panel(atlas, run, cut, title=_settings(atlas, run)) for run in runs]
    repeats = {len(panel.profile.rows) for panel in panels if panel.profile}
    words = [f"{details.listed(repeats)} directions per minimizer."] if repeats else []
    words += [*_extent(atlas, runs, cut), details.CUT_OFF]
    return atlas.drawing("figure-16", profile_figure([panels], every=True), runs=runs, details=words)


def further(atlas: Atlas) -> Drawing | None:
    """Return one figure of the planned lines that no numbered figure shows, if there are any."""
    shown = {name for name, *_ in catalogue.FIGURE2.values()}
    left = {name: run for name, run in atlas.results.planned_lines.items() if name not in shown}
    if not left:
        return None
    panels = []
    for name, run in left.items():
        cut = atlas.results.lines.get(name)
        title = atlas.title(run) + ("" if name == run else f"\n{name}")
        absent = atlas.absent(run, cut.info if cut else None)
        panels.append(LinePanel(title, atlas.numbers(run), cut.line if cut else None, absent))
    return atlas.drawing("further-lines", line_figure(panels), runs=left.values())


def _settings(atlas: Atlas, run: str) -> str:
    return f"{atlas.decay(run)},\n{atlas.batch(run)}"


def _panel(atlas: Atlas, run: str, cut: str, *, title: str | None = None) -> ProfilePanel:
    found = atlas.results.profiles.get(run)
    profile = found.cuts.get(cut) if found else None
    return ProfilePanel(
        title or atlas.recipe(run), atlas.numbers(run), profile, atlas.absent(run, found.info if found else None)
    )


def _extent(atlas: Atlas, runs: Sequence[str], cut: str) -> list[str]:
    found = [atlas.results.profiles[run] for run in runs if run in atlas.results.profiles]
    found = [item for item in found if cut in item.cuts]
    return details.extent([str(len(item.cuts[cut].alpha)) for item in found], [item.info for item in found])
