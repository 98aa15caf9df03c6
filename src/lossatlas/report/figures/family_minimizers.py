"""Figures that compare minimizers along random directions and on planes: 3, 11 to 13, 15 and 16 of Li et al."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from lossatlas.report import catalogue
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.contours import Panel
from lossatlas.report.figures.minimizers import minimizer_figure
from lossatlas.report.figures.profiles import ProfilePanel, profile_figure
from lossatlas.report.wording import listed

# figure: the cut that it shows, and the minimizers
EIGHT = {
    "figure-11": (catalogue.FIGURE11_CUT, catalogue.VGG9_EIGHT),
    "figure-12": (catalogue.FIGURE12_CUT, catalogue.VGG9_EIGHT),
    "figure-13": (catalogue.FIGURE13_CUT, catalogue.VGG9_EIGHT),
}


def figure3(atlas: Atlas) -> Drawing:
    """Return four minimizers along a direction and on a plane."""
    runs = catalogue.FIGURE3
    profiles = [_panel(atlas, run, catalogue.FILTER_CUT, title=_settings(atlas, run)) for run in runs]
    planes = [atlas.fill(run, atlas.results.plane_of(run), "", "") for run in runs]
    labels = ("along one direction", "on a plane")
    return _both(atlas, "figure-3", [runs], [profiles], [planes], labels)


def figure15(atlas: Atlas) -> Drawing:
    """Return the eight minimizers of ResNet-56 along a direction and on a plane."""
    rows = catalogue.RESNET56_EIGHT
    profiles = [[_panel(atlas, run, catalogue.FILTER_CUT) for run in row] for row in rows]
    planes = [[atlas.fill(run, atlas.results.plane_of(run), atlas.recipe(run)) for run in row] for row in rows]
    labels = [f"{place},\n{atlas.decay(*row)}" for place in ("one direction", "plane") for row in rows]
    return _both(atlas, "figure-15", rows, profiles, planes, labels)


def _both(
    atlas: Atlas,
    identifier: str,
    rows: Sequence[Sequence[str]],
    profiles: Sequence[Sequence[ProfilePanel]],
    planes: Sequence[Sequence[Panel]],
    labels: Sequence[str],
) -> Drawing:
    runs = list(chain(*rows))
    figure = minimizer_figure(
        profiles, planes, row_labels=labels, scale=atlas.scale, initialization=atlas.initialization
    )
    shown = [surface for run in runs if (surface := atlas.results.plane_of(run))]
    words = [f"Along directions: {text}" for text in _extent(atlas, runs, catalogue.FILTER_CUT)]
    words += [f"On planes: {text}" for text in details.surfaces(shown, cap=10**atlas.scale.high)[2:]]
    return atlas.drawing(identifier, figure, runs=runs, details=[*words, details.CUT_OFF])


def eight(atlas: Atlas, *, identifier: str) -> Drawing:
    """Return the eight minimizers of VGG-9 with one of three normalizations.

    Args:
        atlas: the results.
        identifier: a key of `EIGHT`.
    """
    cut, rows = EIGHT[identifier]
    panels = [[_panel(atlas, run, cut) for run in row] for row in rows]
    figure = profile_figure(panels, row_labels=[atlas.decay(*row) for row in rows])
    runs = list(chain(*rows))
    shown = [panel.profile for row in panels for panel in row if panel.profile]
    words = details.reach([item.alpha for item in shown], catalogue.REACH.get(identifier))
    words += [*_extent(atlas, runs, cut), details.CUT_OFF]
    return atlas.drawing(identifier, figure, runs=runs, details=words)


def figure16(atlas: Atlas) -> Drawing:
    """Return four minimizers along several directions each."""
    runs, cut = catalogue.FIGURE16, catalogue.FILTER_CUT
    panels = [_panel(atlas, run, cut, title=_settings(atlas, run)) for run in runs]
    repeats = {len(panel.profile.rows) for panel in panels if panel.profile}
    words = [f"{listed(repeats)} directions per minimizer."] if repeats else []
    words += [*_extent(atlas, runs, cut), details.CUT_OFF]
    return atlas.drawing("figure-16", profile_figure([panels], every=True), runs=runs, details=words)


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
