"""Which networks have curves, planes through three points, cycles and ensembles, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DATA, GARIPOV
from lossatlas.report.ensembles import CURVES, HUNDRED, METHODS, network_title, split_ensemble
from lossatlas.report.networks import split_run

WIDE = 3  # panels in a row
PLANES = ("optima", "chain", "bezier")  # of Figure 1 of Garipov et al.
FIRST = ("preresnet164", "vgg16", "wrn28_10")  # theirs shows the first of these


def names(results: Results, kind: str) -> dict[str, str]:
    """Return the planned and present studies of a kind (`curve`, `plane3`, `fge`, `ensemble`) with their runs."""
    there: Mapping[str, Any] = {
        "curve": results.curves,
        "plane3": results.planes3,
        "fge": results.fges,
        "ensemble": results.ensembles,
    }[kind]
    account = {name: getattr(item, "info", item) for name, item in there.items()}
    found = {name: str(info.get("run") or "") for name, info in account.items()}
    return {**found, **(results.planned.get(kind) or {})}


def ordered(stems: Iterable[str]) -> list[str]:
    """Return stems with CIFAR-100 first, then the papers' networks in the order of their table, then others.

    A stem is the name of a network's first run, such as `vgg16` or `vgg16_cifar100`.
    """

    def rank(stem: str) -> tuple[bool, int]:
        name = split_run(stem)
        return not name.hundred, GARIPOV.index(name.base) if name.base in GARIPOV else len(GARIPOV)

    return sorted(dict.fromkeys(stems), key=rank)


def curve_stems(results: Results) -> list[str]:
    """Return the stems of all curves; a curve that is not called as the papers' is a stem of its own."""
    return ordered(stem_of(name, CURVES) for name in names(results, "curve"))


def stem_of(name: str, endings: Iterable[str]) -> str:
    """Return a study's name without its ending, the whole name where it has none of `endings`."""
    stem, _, ending = name.rpartition("_")
    return stem if stem and ending in endings else name


def plane_stems(results: Results, endings: Sequence[str]) -> list[str]:
    """Return the stems of the planes through three points whose names have one of some endings."""
    return ordered(stem for name in names(results, "plane3") if (stem := stem_of(name, endings)) != name)


def cycle_stems(results: Results) -> list[str]:
    """Return the stems of all trainings in cycles: of each network the first run alone."""
    found = names(results, "fge")
    return ordered(name for name in found if split_run(name).seed is None)


def ensemble_stems(results: Results) -> dict[str, tuple[str, str]]:
    """Return network and data set of every ensemble of the three methods, by stem."""
    parts = [split_ensemble(name) for name in names(results, "ensemble")]
    found = {
        f"{network}_{HUNDRED}" if data == HUNDRED else network: (network, data)
        for network, data, method in parts
        if method in METHODS
    }
    return {stem: found[stem] for stem in ordered(found)}


def blocks(stems: Sequence[str]) -> list[list[str]]:
    """Return stems in rows by data set; without any the papers' three networks, which then read "not run"."""
    rows = []
    for hundred in (True, False):
        same = [stem for stem in stems if split_run(stem).hundred == hundred]
        rows += [same[i : i + WIDE] for i in range(0, len(same), WIDE)]
    return rows or [list(GARIPOV)]


def stem_title(stem: str, results: Results, *, among: Iterable[str] = ()) -> str:
    """Return the network of a stem in words; with its data set where the stems `among` are on several.

    Args:
        stem: the name of a network's first run.
        results: what was computed.
        among: the stems of the same figure.
    """
    name, run = split_run(stem), results.runs.get(stem)
    title = network_title(name.base, run.info if run else None)
    data = {other: results.title_of_data(other) or (HUNDRED if split_run(other).hundred else "") for other in among}
    own = data.get(stem, "")
    return f"{title}, {DATA.get(own, own)}" if own and len(set(data.values())) > 1 else title


def pictured(results: Results) -> str:
    """Return the stem whose three planes are drawn: the first that is there, else the first planned one."""
    planned = plane_stems(results, PLANES)
    wanted = sorted(planned, key=lambda stem: _place(split_run(stem).base))
    drawn = [stem for stem in wanted if any(_is_drawn(results, f"{stem}_{what}") for what in PLANES)]
    return (drawn or wanted or [FIRST[0]])[0]


def _place(network: str) -> int:
    return FIRST.index(network) if network in FIRST else len(FIRST)


def _is_drawn(results: Results, name: str) -> bool:
    found = results.planes3.get(name)
    return found is not None and found.plane is not None


def further_planes(results: Results) -> dict[str, list[str]]:
    """Return the planes through three points that no other figure shows, by stem."""
    first = pictured(results)
    left: dict[str, list[str]] = {}
    shown = {f"{first}_{what}" for what in PLANES}
    for name in names(results, "plane3"):
        if name not in shown and not name.endswith("_sse"):
            left.setdefault(stem_of(name, PLANES), []).append(name)
    return {stem: left[stem] for stem in ordered(left)}


def ending(name: str) -> str:
    """Return the last part of a plane's or curve's name: what it is."""
    return name.rpartition("_")[2]
