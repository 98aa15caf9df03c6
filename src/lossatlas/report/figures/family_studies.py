"""Figures beyond the paper's: scale invariance, curvatures of slices, sharpness as numbers, trainability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lossatlas.report import catalogue
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas, Drawing
from lossatlas.report.figures.invariance import Rescaled, invariance_figure
from lossatlas.report.figures.sharpness import Measured, Point, sharpness_figure
from lossatlas.report.figures.slices import slice_figure
from lossatlas.report.figures.trainability import Cosines, Trainability, trainability_figure
from lossatlas.report.networks import network_named
from lossatlas.report.wording import NOT_RUN

SCHEMES = {"li": "Li et al.", "glorot": "Glorot", "torch": "PyTorch default", "garipov": "Garipov et al."}
GROUPS = {"vgg9": "VGG-9", "resnet56": "ResNet-56"}
OTHERS = "other networks"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def invariance(atlas: Atlas) -> Drawing:
    """Return lines before and after rescalings, a row per network."""
    results = atlas.results
    planned = dict(results.planned.get("invariance", {})) or {"vgg9": "vgg9"}
    networks = []
    for name, run in planned.items():
        found = results.invariances.get(name)
        cuts: Mapping[str, Any] = found.cuts if found else {}
        info = found.info if found else {}
        subtitles = [_differs(info.get(f"{kind}_difference")) for kind in ("filter", "none")]
        absent = atlas.absent(run, info)
        networks.append(Rescaled(atlas.title(run), cuts.get("filter"), cuts.get("none"), subtitles, absent))
    found_all = [item for item in results.invariances.values() if item.cuts]
    sizes = [str(len(item.cuts["filter"].alpha)) for item in found_all if "filter" in item.cuts]
    words = [*details.extent(sizes, [item.info for item in found_all]), details.CUT_OFF]
    return atlas.drawing("scale-invariance", invariance_figure(networks), runs=planned.values(), details=words)


def _differs(differences: Any) -> str:
    values = [_number(value) for value in (differences or {}).values()]
    values = [value for value in values if math.isfinite(value)]
    return f"largest relative difference {max(values):.2g}" if values else ""


def curvatures(atlas: Atlas) -> Drawing:
    """Return curvatures of slices beside the full spectrum."""
    found = next(iter(atlas.results.slices.values()), None)
    info = found.info if found else {}
    absent = f"skipped:\n{info['reason']}" if info.get("reason") else NOT_RUN
    values = found.curvatures if found else None
    p_value, negative = _number(info.get("weighted_p_value")), _number(info.get("negative_fraction"))
    subtitles = (
        f"same distribution: p = {p_value:.2g}" if math.isfinite(p_value) else "",
        f"{negative:.0%} negative" if math.isfinite(negative) else "",
        "" if values is None else f"{(values.slice_min < 0).mean():.0%} not convex",
    )
    words = []
    if values is not None:
        words = [
            f"{len(values.eigenvalue):,} weights, {len(values.measured):,} directions, "
            f"{len(values.slice_min):,} planes; curvatures in nats per example and squared unit of weight."
        ]
    figure = slice_figure(values, absent=absent, subtitles=subtitles)
    return atlas.drawing("projected-curvature", figure, runs=[], details=words)


def sharpness(atlas: Atlas) -> Drawing:
    """Return test error against each measure of sharpness."""
    record = atlas.results.sharpness
    runs: Mapping[str, Mapping[str, Any]] = record.get("runs") or {}
    correlations: Mapping[str, Mapping[str, Any]] = record.get("correlation") or {}
    measures = []
    ordered = sorted(runs, key=lambda run: [*GROUPS.values(), OTHERS].index(_group(run)))
    for name, found in correlations.items():
        points = [
            Point(_number(runs[run].get(name)), _number(runs[run].get("test_error")), _group(run)) for run in ordered
        ]
        about = (record.get("measures") or {}).get(name) or {}
        unit = about.get("unit", "") + (f" ({about['larger']} →)" if "larger" in about else "")
        measures.append(Measured(about.get("title", name), unit, points, _correlation(found)))
    figure = sharpness_figure(measures, absent=NOT_RUN)
    return atlas.drawing("sharpness", figure, runs=list(runs))


def _group(run: str) -> str:
    return GROUPS.get(network_named(run) or "", OTHERS)


def _correlation(found: Mapping[str, Any]) -> str:
    rho = _number(found.get("spearman"))
    if not math.isfinite(rho):
        return "no rank correlation"
    p_value = _number(found.get("p_value"))
    p = f", p = {p_value:.2g}" if math.isfinite(p_value) else ""
    return f"ρ = {rho:+.2f}, {found.get('runs', '?')} runs{p}"


def trainability(atlas: Atlas) -> Drawing:
    """Return losses at initialization, losses where convexity ends, cosines of gradients, and the deepest networks."""
    results, depths = atlas.results, catalogue.DEPTHS
    measured: Mapping[str, Mapping[str, Any]] = results.sharpness.get("runs") or {}
    initial = {
        words: {
            kind: {depth: _initial(results.probes.get(run), scheme) for depth, run in runs.items()}
            for kind, runs in depths.items()
        }
        for scheme, words in SCHEMES.items()
    }
    convex = {
        kind: {depth: _number(measured.get(run, {}).get("nonconvex_level")) for depth, run in runs.items()}
        for kind, runs in depths.items()
    }
    cosines = [item for run, probe in results.probes.items() if (item := _cosines(atlas.title(run), probe))]
    curves = [atlas.curve(run) for run in catalogue.DEPTH158]
    found = Trainability(initial, convex, cosines, curves, level=atlas.initialization, absent=NOT_RUN)
    return atlas.drawing("trainability", trainability_figure(found), runs=catalogue.DEPTH158)


def _initial(probe: Mapping[str, Any] | None, scheme: str) -> list[float]:
    losses = ((probe or {}).get("initialization") or {}).get(scheme) or {}
    return [_number(loss) for loss in losses.get("train_mode") or []]


def _cosines(label: str, probe: Mapping[str, Any]) -> Cosines | None:
    gradients = probe.get("gradients") or {}
    centre = _number((gradients.get("centre") or {}).get("mean_cosine"))
    far = [_number(point.get("mean_cosine")) for point in gradients.get("far") or []]
    far = [value for value in far if math.isfinite(value)]
    return Cosines(label, centre, far) if math.isfinite(centre) or far else None
