"""Figures of curves and planes between minimizers: 1 and 2 of Garipov et al., snapshots on a plane, further planes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from lossatlas.report.artefacts import Connection, ThreePoints
from lossatlas.report.ensembles import CURVES
from lossatlas.report.figures import details, details_modes, modes
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.axes import plain_number
from lossatlas.report.figures.connections import Along, ConnectionRow, connection_figure
from lossatlas.report.figures.plane_marks import plane_panel
from lossatlas.report.figures.scale import error_scale, losses_scale
from lossatlas.report.figures.three_points import PlaneRow, plane_figure
from lossatlas.report.wording import NOT_RUN, percent
from lossatlas.results import Plane

SETS = {"train": "training", "test": "test"}
TITLES = {"optima": "three minimizers", "chain": "polygonal chain", "bezier": "Bezier curve"}
SHORT = {"segment": "segment", "chain": "chain", "bezier": "Bezier"}
FLOOR = 0.5  # of a test image: drawn where every image is classified correctly


def figure1(atlas: Atlas) -> Drawing:
    """Return three planes of one network, on the training set."""
    return _pictured(atlas, "garipov-figure-1", "train")


def figure1_test(atlas: Atlas) -> Drawing:
    """Return the same planes on the test set."""
    return _pictured(atlas, "garipov-figure-1-test", "test")


def _pictured(atlas: Atlas, identifier: str, source: str) -> Drawing:
    stem = modes.pictured(atlas.results)
    names = [f"{stem}_{what}" for what in modes.PLANES]
    titles = TITLES.values()
    panels = [plane_panel(atlas, name, stem, title) for name, title in zip(names, titles, strict=True)]
    drawn = _planes(atlas, names)
    rows = [
        PlaneRow(f"{SETS[source]} loss", f"{source}_loss", losses_scale(drawn), panels),
        PlaneRow(f"{SETS[source]} error", f"{source}_error", error_scale(drawn), panels),
    ]
    network = modes.stem_title(stem, atlas.results, among=modes.plane_stems(atlas.results, modes.PLANES))
    words = [
        f"The network is {network}.",
        *_about(atlas, names),
        *details_modes.budgets([stem], atlas.results, atlas.targets),
    ]
    return atlas.drawing(identifier, plane_figure(rows, path="curve", titles_once=True), runs=[stem], details=words)


def figure2(atlas: Atlas) -> Drawing:
    """Return losses and errors along every curve, a row per network."""
    results = atlas.results
    stems = modes.curve_stems(results) or [modes.FIRST[0]]
    figure = connection_figure([_row(atlas, stem, stems) for stem in stems])
    found = [item for item in results.curves.values() if item.losses]
    infos = [item.info for item in found]
    words = details.extent([str(len(item.losses.t)) for item in found if item.losses], infos)
    words += [*details_modes.refreshed(infos), *details_modes.curve_epochs(infos)]
    words += details_modes.budgets(stems, results, atlas.targets)
    if any((1 - item.losses.test_accuracy <= 0).any() for item in found if item.losses):
        words.append("Where no test image is misclassified, the error is drawn at half an image.")
    return atlas.drawing("garipov-figure-2", figure, runs=stems, details=words)


def _row(atlas: Atlas, stem: str, stems: Sequence[str]) -> ConnectionRow:
    planned = modes.names(atlas.results, "curve")
    named = {name: run for name, run in planned.items() if modes.stem_of(name, CURVES) == stem}
    found = {name: atlas.results.curves.get(name) for name in named}
    curves = [
        Along(str(item.info["kind"]), item.losses, FLOOR / max(int(item.info.get("samples_test") or 0), 1))
        for item in found.values()
        if item and item.losses
    ]
    gone = {name: item for name, item in found.items() if item is None or item.losses is None}
    missing = {name: atlas.absent(named[name], item.info if item else None) for name, item in gone.items()}
    lines = [_distances(found.values()), _overflows(found.values())]
    lines.append("; ".join(f"{_kind(name)}: {words}".replace("\n", " ") for name, words in missing.items()))
    subtitles = "\n".join(line for line in lines if line), _highest(found.values())
    label = modes.stem_title(stem, atlas.results, among=stems)
    absent = "\n".join(dict.fromkeys(missing.values())) or NOT_RUN
    return ConnectionRow(label, subtitles if curves else ("", ""), curves, absent)


def _kind(name: str) -> str:
    return SHORT.get(modes.ending(name), name)


def _distances(found: Iterable[Connection | None]) -> str:
    """Return how far the ends of curves are apart, and how long trained ones are."""
    infos = [item.info for item in found if item and item.losses]
    straight = [text for info in infos if (text := _distance(info.get("straight_distance")))]
    lengths = [
        f"{SHORT[info['kind']]} {text}"
        for info in infos
        if info["kind"] != "segment" and (text := _distance(info.get("length")))
    ]
    words = [f"ends {text} apart" for text in straight[:1]] + [f"length: {', '.join(lengths)}"] * bool(lengths)
    return "; ".join(words)


def _highest(found: Iterable[Connection | None]) -> str:
    """Return the highest test error along each curve with refreshed statistics."""
    words = []
    for info in (item.info for item in found if item and item.losses):
        rows = info.get("rows") or {}
        error = (rows.get("refreshed") or {}).get("test_error_max")
        words += [f"{SHORT[info['kind']]} {percent(error)}"] * (error is not None)
    return f"highest, refreshed: {', '.join(words)}" if words else ""


def _overflows(found: Iterable[Connection | None]) -> str:
    """Return on which curves, with refreshed statistics, the training loss overflows, and at how many points."""
    rows = {str(item.info["kind"]): item.info.get("rows") or {} for item in found if item and item.losses}
    counts = {kind: (row.get("refreshed") or {}).get("not_finite") or 0 for kind, row in rows.items()}
    words = [f"{SHORT[kind]} at {count} point{'s' * (count > 1)}" for kind, count in counts.items() if count]
    return f"overflows, refreshed: {', '.join(words)}" if words else ""


def _distance(value: Any) -> str:
    return plain_number(float(f"{value:.3g}")) if isinstance(value, (int, float)) and math.isfinite(value) else ""


def snapshots(atlas: Atlas) -> Drawing:
    """Return the path of training with cosine cycles on a plane through snapshots, a panel per network."""
    stems = modes.plane_stems(atlas.results, ("sse",))
    blocks = modes.blocks(stems)
    titles = {stem: modes.stem_title(stem, atlas.results, among=stems) for stem in chain(*blocks)}
    # a snapshot's plane has the name of its run
    rows = [[plane_panel(atlas, f"{stem}_sse", f"{stem}_sse", titles[stem]) for stem in block] for block in blocks]
    names = [f"{stem}_sse" for stem in chain(*blocks)]
    scale = losses_scale(_planes(atlas, names))
    figure = plane_figure([PlaneRow("", "train_loss", scale, panels) for panels in rows], path="path of training")
    words = [*_about(atlas, names), *details_modes.budgets(stems, atlas.results, atlas.targets)]
    started = any(panel.start for panels in rows for panel in panels)
    seen = {"start": "from the square, the initialization, " if started else ""}
    return atlas.drawing("sse-trajectory", figure, runs=names, details=words, seen=seen)


def further(atlas: Atlas) -> Drawing | None:
    """Return the planes through three points that no figure above shows, a row per network, if there are any."""
    left, runs = modes.further_planes(atlas.results), modes.names(atlas.results, "plane3")
    if not left:
        return None
    names = list(chain(*left.values()))
    scale = losses_scale(_planes(atlas, names))
    rows = []
    for stem, found in left.items():
        title = modes.stem_title(stem, atlas.results, among=left)
        panels = [plane_panel(atlas, name, runs[name], TITLES.get(modes.ending(name), name)) for name in found]
        rows += [
            PlaneRow(title if stem not in found else "", "train_loss", scale, panels[i : i + modes.WIDE])
            for i in range(0, len(panels), modes.WIDE)
        ]
    figure = plane_figure(rows, path="curve or path of training")
    return atlas.drawing("further-modes", figure, runs=[runs[name] for name in names], details=_about(atlas, names))


def _planes(atlas: Atlas, names: Iterable[str]) -> list[Plane]:
    """Return the planes of some names that are there: those of one figure share its colours."""
    found = [atlas.results.planes3[name].plane for name in names if name in atlas.results.planes3]
    return [plane for plane in found if plane]


def _about(atlas: Atlas, names: Sequence[str]) -> list[str]:
    """Return on how many points and images planes were computed, and how statistics were refreshed."""
    found: list[ThreePoints] = [atlas.results.planes3[name] for name in names if name in atlas.results.planes3]
    drawn = [item for item in found if item.plane]
    sizes = [f"{len(item.plane.x)} × {len(item.plane.y)}" for item in drawn if item.plane]
    infos = [item.info for item in drawn]
    return [
        *details.extent(sizes, infos),
        *details_modes.refreshed(info for info in infos if info["statistics"] != "frozen"),
    ]
