"""Every published number of Garipov et al. and Huang et al. beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DATA, GARIPOV, HUANG, curve_address, ensemble_address, snapshot_address
from lossatlas.report.comparison import Comparison
from lossatlas.report.ensembles import (
    BUDGETS,
    CURVES,
    METHODS,
    SNAPSHOTS,
    ensemble_name,
    method_title,
    network_title,
    one_budget,
    pooled,
    published_data,
    split_ensemble,
    split_study,
)
from lossatlas.report.made import Key
from lossatlas.report.networks import NETWORKS
from lossatlas.report.reasons import data_reasons, epoch_reasons, network_reasons, setting_reasons
from lossatlas.report.targets import Targets

Info = Mapping[str, Any]
ENSEMBLES = ("garipov-table-1", "ensemble-size")
ALONG = ("curves", "garipov-figure-2")
PUBLISHED_CURVES = {"bezier": "bezier", "chain": "polychain"}


def compare_garipov(results: Results, targets: Targets) -> Iterator[Comparison]:
    """Yield the numbers of Table 1, and those along curves that the authors' program gives."""
    for data in reversed(DATA):
        for network in GARIPOV:
            for method in METHODS:
                yield from _ensembles(network, data, method, results, targets)
    for data in reversed(DATA):
        for network in GARIPOV:
            yield from _curves(network, data, results, targets)


def compare_huang(results: Results, targets: Targets) -> Iterator[Comparison]:
    """Yield the numbers of Table 1, none of which stands in the project's source documents."""
    for network, title in HUANG.items():
        for method, (theirs, _) in SNAPSHOTS.items():
            for data in DATA:
                name = ensemble_name(network, data, method)
                info, found = results.ensembles.get(name), pooled(results.ensembles.get(name), 1)
                reasons = tuple(_reasons(network, info, data, results))
                yield Comparison(
                    paper="huang2017",
                    source="Table 1",
                    what=f"{title}, {method_title(method)}, {DATA[data]}: test error",
                    published=replace(targets.get(snapshot_address(network, data, theirs)), in_documents=False),
                    ours=100 * float(found["error"]) if found else None,
                    unit="%",
                    comparable=results.regime == "full" and not reasons,
                    reasons=reasons,
                    stage=("ensemble", name) if found else None,
                    shown=("huang-table-1",),
                )


def _ensembles(network: str, data: str, method: str, results: Results, targets: Targets) -> Iterator[Comparison]:
    name = _standing_for(network, data, method, results)
    info = results.ensembles.get(name) if name else None
    protocol = targets.content["garipov2018"]["protocol"]
    reasons = tuple(_reasons(network, info, split_ensemble(name or "")[1] or data, results))
    if info is not None:
        reasons += tuple(_training_reasons(network, info.get("train") or {}, info.get("budget_epochs"), protocol))
    for budgets in BUDGETS:
        ours, spread = _error(info, budgets)
        yield Comparison(
            paper="garipov2018",
            source="Table 1",
            what=f"{network_title(network, info)}, {METHODS[method]}, {budgets}B, {DATA[data]}: test error",
            published=targets.get(ensemble_address(network, data, method, budgets)),
            ours=ours,
            spread=spread,
            unit="%",
            comparable=results.regime == "full" and not reasons,
            reasons=reasons,
            stage=("ensemble", name) if name and ours is not None else None,
            shown=ENSEMBLES,
        )


def _standing_for(network: str, data: str, method: str, results: Results) -> str | None:
    """Return the ensemble on the data set itself, else the one on images that stand for it."""
    names = [
        name
        for name in results.ensembles
        if (parts := split_ensemble(name))[::2] == (network, method) and published_data(parts[1]) == data
    ]
    return next((name for name in sorted(names, key=lambda name: split_ensemble(name)[1] != data)), None)


def _error(info: Info | None, budgets: int) -> tuple[float | None, float | None]:
    """Return the mean error of one budget with its spread, or that of all members of several, in percent."""
    if budgets == 1:
        errors = [100 * error for error in one_budget(info)]
        return (fmean(errors) if errors else None), (stdev(errors) if len(errors) > 1 else None)
    row = pooled(info, budgets)
    return (None if row is None else 100 * float(row["error"])), None


def _reasons(network: str, info: Info | None, data: str, results: Results) -> list[str]:
    if info is None:
        return []
    return data_reasons(data, results) + network_reasons(network if network in NETWORKS else None, info)


def _training_reasons(network: str, train: Info, epochs: int | None, protocol: Info) -> list[str]:
    """Return which settings of a network's training, and how many epochs, are not the published ones."""
    published = {name: protocol[name][network] for name in ("lr", "weight_decay") if network in protocol[name]}
    return epoch_reasons(epochs, protocol["budget_epochs"].get(network)) + setting_reasons(train, published)


def _curves(network: str, data: str, results: Results, targets: Targets) -> Iterator[Comparison]:
    """Yield the errors at both ends, and the lowest and highest along each kind of curve."""
    protocol = targets.content["garipov2018"]["protocol"]
    found = {kind: _curve(network, data, kind, results) for kind in (*PUBLISHED_CURVES, "segment")}
    rows: list[tuple[str, str, int, float | None, Key | None, Info | None]] = []
    ends_of = next((item for item in found.values() if item), None)
    ends = sorted(ends_of[2]["test_error_ends"]) if ends_of else [None, None]
    for i, which in enumerate(("the better end", "the worse end")):
        rows.append((which, "endpoints", i, ends[i], ends_of[0] if ends_of else None, ends_of[1] if ends_of else None))
    for kind, theirs in PUBLISHED_CURVES.items():
        item = found[kind]
        for i, which in enumerate(("min", "max")):
            words = f"{'lowest' if i == 0 else 'highest'} along a {CURVES[kind]}"
            value = item[2][f"test_error_{which}"] if item else None
            rows.append((words, theirs, i, value, item[0] if item else None, item[1] if item else None))
    for words, theirs, i, value, key, info in rows:
        reasons = tuple(_reasons(network, info, str(info["data"]) if info else data, results))
        if info is not None:
            train = _train(info, results)
            reasons += tuple(_training_reasons(network, train, train.get("epochs"), protocol))
        yield Comparison(
            paper="garipov2018",
            source="the authors' program",
            what=f"{network_title(network, info)}, {DATA[data]}: test error, {words}",
            published=targets.get(curve_address(network, data, theirs, i)),
            ours=None if value is None else 100 * float(value),
            unit="%",
            comparable=results.regime == "full" and not reasons,
            reasons=reasons,
            stage=key,
            shown=ALONG,
        )


def _curve(network: str, data: str, kind: str, results: Results) -> tuple[Key, Info, Info] | None:
    """Return the stage, the account and the values with refreshed statistics of a finished curve."""
    for name, item in results.curves.items():
        if split_study(name)[::2] != (network, kind) or item.info["status"] != "finished":
            continue
        if published_data(str(item.info["data"])) == data:
            rows = item.info["rows"]
            return ("curve", name), item.info, rows.get("refreshed") or next(iter(rows.values()))
    return None


def _train(info: Info, results: Results) -> Info:
    """Return how the ends of a curve were trained, as far as it is known."""
    run = results.runs.get(str(info.get("start") or info.get("run") or ""))
    return run.train if run else {}
