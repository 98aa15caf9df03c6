"""Checks of curves, planes through three points, cycles and ensembles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import GARIPOV, ensemble_address, source_of
from lossatlas.report.checks_planes import check_complete
from lossatlas.report.checks_runs import compare_errors
from lossatlas.report.ensembles import BUDGETS, METHODS, network_title, one_budget, pooled, split_ensemble
from lossatlas.report.targets import Targets
from lossatlas.report.verdict import Check, judged, not_run
from lossatlas.results import CurveLosses, Plane

FINISHED = {"fge": "training in cycles", "ensemble": "ensemble"}
SURFACES = {"curve": "curve", "plane3": "plane through three points"}


def check_connected(results: Results) -> Iterator[Check]:
    """Yield whether every planned curve and plane has all its points, and all cycles and ensembles are there."""
    infos: dict[str, Mapping[str, Mapping[str, Any]]] = {
        "curve": {name: found.info for name, found in results.curves.items()},
        "plane3": {name: found.info for name, found in results.planes3.items()},
        "fge": {name: found.info for name, found in results.fges.items()},
        "ensemble": results.ensembles,
    }
    values: dict[str, dict[str, CurveLosses | Plane | None]] = {
        "curve": {name: found.losses for name, found in results.curves.items()},
        "plane3": {name: found.plane for name, found in results.planes3.items()},
    }
    for kind, words in (SURFACES | FINISHED).items():
        for name in results.planned.get(kind) or {}:
            found = values.get(kind, {}).get(name)
            identifier = f"{'complete' if kind in SURFACES else 'finished'}/{kind}/{name}"
            title = f"{name}: points of the {words} computed" if kind in SURFACES else f"{name}: {words}"
            if found is not None:
                yield check_complete(identifier, title, found)
            else:
                yield _there(identifier, title, infos[kind].get(name))


def _there(identifier: str, title: str, info: Mapping[str, Any] | None) -> Check:
    if info is None:
        missing = {"measured": "no result", "expected": "computed", "detail": "planned, not run"}
        return judged(identifier, title, False, **missing)
    status = str(info["status"])
    if status == "skipped":
        return not_run(identifier, title, f"skipped: {info.get('reason') or 'no reason given'}")
    return judged(identifier, title, status == "finished", measured=status, expected="finished")


def check_published_ensembles(results: Results, targets: Targets) -> Iterator[Check]:
    """Yield comparisons of ensembles with Table 1 of Garipov et al.; only under the full protocol, of its networks."""
    if results.regime != "full":
        return
    for name in results.planned.get("ensemble") or {}:
        network, data, method = split_ensemble(name)
        info = results.ensembles.get(name)
        if (
            network not in GARIPOV
            or method not in METHODS
            or network_title(network, info) != network_title(network, None)
        ):
            continue
        for budgets in BUDGETS:
            address = ensemble_address(network, data, method, budgets)
            published = targets.find(address)
            if published is None:
                continue
            identifier = f"published/{name}/{budgets}B"
            title = f"{network_title(network, None)}, {METHODS[method]}, {budgets}B: test error, %"
            measured = _error(info, budgets)
            if measured is None:
                yield not_run(identifier, title, "no ensemble of so many budgets")
            else:
                yield compare_errors(identifier, title, 100 * measured, published, source_of(address) + published.mark)


def _error(info: Mapping[str, Any] | None, budgets: int) -> float | None:
    """Return the mean error of one budget, or that of all members of several."""
    if budgets == 1:
        errors = one_budget(info)
        return fmean(errors) if errors else None
    row = pooled(info, budgets)
    return None if row is None else float(row["error"])
