"""Figures of straight lines between minimizers: 2 and 14 of Li et al., and further lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from lossatlas.report import catalogue
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.between import Between, between_figure
from lossatlas.report.figures.interpolation import Interpolation, interpolation_figure
from lossatlas.report.figures.lines import LinePanel, line_figure
from lossatlas.report.figures.seen import final_norms, line_minima


def figure2(atlas: Atlas) -> Drawing:
    """Return the interpolation between small and large batch, with weight norms and weights."""
    results, rows = atlas.results, []
    for name, *runs in catalogue.FIGURE2:
        panel = _between(atlas, name, runs)
        done = [results.runs.get(run) for run in runs]
        rows.append(
            Interpolation(
                label=atlas.decay(*runs),
                subtitles=panel.subtitles,
                line=panel.line,
                histories=[run.history if run else None for run in done],
                weights=[run.weights if run else None for run in done],
                absent=panel.absent,
            )
        )
    words = [*_extent(atlas, [name for name, *_ in catalogue.FIGURE2]), details.CUT_OFF]
    words += details.breaks(row.line for row in rows)
    runs = list(chain(*(pair for _, *pair in catalogue.FIGURE2)))
    seen = {
        "minima": line_minima(row.line for row in rows),
        "norms": final_norms([(row.label, row.histories) for row in rows]),
    }
    return atlas.drawing("figure-2", interpolation_figure(rows), runs=runs, details=words, seen=seen)


def figure14(atlas: Atlas) -> Drawing:
    """Return the interpolations between small and large batch of ResNet-56."""
    panels = [_between(atlas, name, runs, atlas.schedule(*runs)) for name, *runs in catalogue.FIGURE14]
    words = [*_extent(atlas, [name for name, *_ in catalogue.FIGURE14]), details.CUT_OFF]
    words += details.breaks(panel.line for panel in panels)
    runs = list(chain(*(pair for _, *pair in catalogue.FIGURE14)))
    seen = {"minima": line_minima(panel.line for panel in panels)}
    return atlas.drawing("figure-14", between_figure(panels), runs=runs, details=words, seen=seen)


def further(atlas: Atlas) -> Drawing | None:
    """Return one figure of the planned lines that no numbered figure shows, if there are any."""
    shown = {name for name, *_ in (*catalogue.FIGURE2, *catalogue.FIGURE14)}
    left = {name: run for name, run in atlas.results.planned_lines.items() if name not in shown}
    if not left:
        return None
    panels = []
    for name, run in left.items():
        cut = atlas.results.lines.get(name)
        title = atlas.title(run) + ("" if name == run else f"\n{name}")
        absent = atlas.absent(run, cut.info if cut else None)
        panels.append(LinePanel(title, atlas.numbers(run), cut.line if cut else None, absent))
    words = details.breaks(panel.line for panel in panels)
    return atlas.drawing("further-lines", line_figure(panels), runs=left.values(), details=words)


def _between(atlas: Atlas, name: str, runs: Sequence[str], title: str = "") -> Between:
    cut = atlas.results.lines.get(name)
    done = [atlas.results.runs.get(run) for run in runs]
    diverged = [run.name for run in done if run and run.diverged]
    return Between(
        title=title,
        subtitles=[f"{atlas.batch(run)}: {atlas.numbers(run, gap=' ')}" for run in runs],
        line=cut.line if cut else None,
        absent=atlas.absent([*diverged, *runs][0], cut.info if cut else None),
    )


def _extent(atlas: Atlas, names: Sequence[str]) -> list[str]:
    found = [atlas.results.lines[name] for name in names if name in atlas.results.lines]
    sizes = [str(len(item.line.alpha)) for item in found if item.line]
    return details.extent(sizes, [item.info for item in found])
