"""Figures of training itself: 8, 9, 10, 18 and 19 of Li et al., and further convergence curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from lossatlas.report import catalogue
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.curves import convergence_figure
from lossatlas.report.figures.norms import NormPanel, norm_figure
from lossatlas.report.figures.paths import PathPanel, path_figure
from lossatlas.report.figures.scale import LossScale, loss_scale
from lossatlas.report.networks import network_named
from lossatlas.report.variants import BATCHES, VARIANTS
from lossatlas.report.wording import listed


def figure8(atlas: Atlas) -> Drawing:
    """Return the path of VGG-9 in planes that do not show it."""
    (random, first), (start, second) = catalogue.FIGURE8.items()
    panels = [
        _path(atlas, random, first),
        _path(atlas, start, second, equal=True, swapped=True),
        _path(atlas, start, "the same, enlarged", swapped=True),
    ]
    names = list(catalogue.FIGURE8)
    figure = path_figure([panels], scale=_scale(atlas, names))
    runs = [atlas.results.planned.get("trajectory", {}).get(name, "vgg9") for name in names]
    return atlas.drawing("figure-8", figure, runs=runs, details=_extent(atlas, names))


def figure9(atlas: Atlas) -> Drawing:
    """Return eight paths of VGG-9 in principal planes."""
    rows, names = catalogue.FIGURE9, list(chain(*catalogue.FIGURE9))
    panels = [[_path(atlas, run, f"{atlas.batch(run)}, {atlas.decay(run)}") for run in row] for row in rows]
    figure = path_figure(panels, scale=_scale(atlas, names), row_labels=catalogue.FIGURE9_ROWS)
    return atlas.drawing("figure-9", figure, runs=names, details=_extent(atlas, names))


def figure10(atlas: Atlas) -> Drawing:
    """Return weight norms of VGG-9 against epochs and iterations."""
    panels = []
    for pair in catalogue.FIGURE10:
        title = atlas.schedule(*pair)
        subtitle = "\n".join(f"{atlas.batch(run)}: {atlas.numbers(run, gap=' ')}" for run in pair)
        histories = [atlas.history(run) for run in pair]
        panels.append(NormPanel(title, subtitle, histories, [atlas.absent(run) for run in pair]))
    return atlas.drawing("figure-10", norm_figure(panels), runs=chain(*catalogue.FIGURE10))


def figure18(atlas: Atlas) -> Drawing:
    """Return the training curves of VGG-9."""
    rows = catalogue.FIGURE18
    groups = {f"VGG-9, {atlas.decay(*row)}": [atlas.curve(run, atlas.recipe(run)) for run in row] for row in rows}
    return atlas.drawing("figure-18", convergence_figure(groups), runs=chain(*rows))


def figure19(atlas: Atlas) -> Drawing:
    """Return the training curves of the architectures."""
    return _curves(atlas, "figure-19", catalogue.FIGURE19)


def further(atlas: Atlas) -> Drawing | None:
    """Return one figure of the planned runs whose curves no other figure shows, if there are any."""
    shown = {*chain(*catalogue.FIGURE19.values()), *chain(*catalogue.FIGURE18), *catalogue.DEPTH158}
    left = [run for run in atlas.results.planned_runs if run not in shown]
    if not left:
        return None
    titles = {run: atlas.title(run) for run in atlas.results.planned_runs}
    counts = Counter(titles.values())
    # repeats with other seeds have their network's title
    names = {run: title if counts[title] == 1 else f"{title}, {run}" for run, title in titles.items()}
    for run in VARIANTS.keys() & names:
        names[run] = f"{atlas.recipe(run)}, {atlas.decay(run).removeprefix('weight ')}"
    return _curves(atlas, "further-convergence", _grouped(atlas, left), names)


def _grouped(atlas: Atlas, runs: Sequence[str]) -> dict[str, list[str]]:
    """Return runs by data set; several of one network that a paper trains repeatedly in a group of their own."""
    groups: dict[str, list[str]] = {}
    places = {run: (network_named(run), atlas.results.title_of_data(run)) for run in runs}
    counts = Counter(places.values())
    for run, (network, data) in places.items():
        repeated = network in BATCHES or (network in catalogue.GARIPOV and counts[network, data] > 1)
        groups.setdefault(f"{catalogue.TITLES[network]}, {data}" if network and repeated else data, []).append(run)
    return groups


def _curves(
    atlas: Atlas, identifier: str, groups: Mapping[str, Sequence[str]], names: Mapping[str, str] | None = None
) -> Drawing:
    curves = {name: [atlas.curve(run, (names or {}).get(run)) for run in runs] for name, runs in groups.items()}
    return atlas.drawing(identifier, convergence_figure(curves), runs=chain(*groups.values()))


def _path(atlas: Atlas, name: str, title: str, *, equal: bool = False, swapped: bool = False) -> PathPanel:
    found = atlas.results.trajectories.get(name)
    run = str(found.info["run"]) if found else atlas.results.planned.get("trajectory", {}).get(name, "")
    run = run or (name if name in VARIANTS else "vgg9")
    trajectory, plane = (found.trajectory, found.plane) if found else (None, None)
    absent = atlas.absent(run, found.info if found else None)
    return PathPanel(title, atlas.numbers(run), trajectory, plane, absent, equal=equal, swapped=swapped)


def _scale(atlas: Atlas, names: Sequence[str]) -> LossScale:
    found = [atlas.results.trajectories[name] for name in names if name in atlas.results.trajectories]
    return loss_scale(item.plane for item in found if item.plane)


def _extent(atlas: Atlas, names: Sequence[str]) -> list[str]:
    found = [atlas.results.trajectories[name] for name in names if name in atlas.results.trajectories]
    found = [item for item in found if item.trajectory and item.plane]
    sizes = [f"{len(item.plane.x)} × {len(item.plane.y)}" for item in found if item.plane]
    counts = [len(item.trajectory.epoch) for item in found if item.trajectory]
    infos = [{"samples_train": item.info.get("samples_train")} for item in found]
    words = [f"{listed(counts)} checkpoints per path."] if counts else []
    return [*words, *details.extent(sizes, infos)]
