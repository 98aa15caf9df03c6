"""What curves and ensembles are called, which cell of which table each of them is, and what they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import DATA, GARIPOV, HUANG, TITLES
from lossatlas.report.networks import NETWORKS, SCALES, differences

METHODS = {"ind": "Ind", "sse": "SSE", "fge": "FGE"}  # rows of Table 1 of Garipov et al.
BUDGETS = (1, 2, 3)  # its columns
# rows of Table 1 of Huang et al.: our word for the method, the table's own, and words
SNAPSHOTS = {
    "single": ("single", "single model"),
    "nocycle": ("nocycle", "NoCycle snapshots"),
    "single_cycle": ("single_cycle", "SingleCycle ensemble"),
    "snapshot01": ("snapshot_0.1", "snapshots, alpha_0 = 0.1"),
    "snapshot02": ("snapshot_0.2", "snapshots, alpha_0 = 0.2"),
}
CURVES = {"segment": "straight segment", "chain": "polygonal chain", "bezier": "Bezier curve"}
HUNDRED = "cifar100"  # the data set whose name runs, curves and planes bear
FULL = {"cifar10": 50_000, "cifar100": 50_000}  # training images of the whole data set


def ensemble_name(network: str, data: str, method: str) -> str:
    """Return the name of an ensemble, such as `vgg16-cifar10-fge`."""
    return f"{network}-{data}-{method}"


def split_ensemble(name: str) -> tuple[str, str, str]:
    """Return network, data set and method of an ensemble's name; the name and two blanks where it is another."""
    network, data, method = (name.rsplit("-", 2) + ["", ""])[:3]
    return (network, data, method) if method else (name, "", "")


def study_name(network: str, data: str, what: str) -> str:
    """Return the name of a curve or plane, such as `vgg16_cifar100_bezier` or `vgg16_optima`.

    Args:
        network: the network's name.
        data: its data set; only CIFAR-100 stands in the name.
        what: `segment`, `chain` or `bezier` of curves; `optima`, `chain`, `bezier` or `sse` of planes.
    """
    return f"{network}_{HUNDRED}_{what}" if data == HUNDRED else f"{network}_{what}"


def split_study(name: str) -> tuple[str, str, str]:
    """Return network, `cifar100` or "", and what it is of the name of a curve or plane through three points."""
    network, _, what = name.rpartition("_")
    hundred = network.endswith(f"_{HUNDRED}")
    return network.removesuffix(f"_{HUNDRED}"), HUNDRED if hundred else "", what


def method_title(method: str) -> str:
    """Return how the report calls a method of either table."""
    return METHODS.get(method) or SNAPSHOTS.get(method, ("", method))[1]


def named_ensembles(results: Results) -> list[tuple[str, str, str]]:
    """Return network, data set and method of every ensemble that is planned or there, in the order of the settings."""
    names = dict.fromkeys([*(results.planned.get("ensemble") or {}), *results.ensembles])
    return [parts for parts in map(split_ensemble, names) if parts[2]]


def table_networks(results: Results) -> tuple[str, ...]:
    """Return the networks of Table 1: the papers' three, and further ones that a preset has all the same."""
    others = [network for network, _, method in named_ensembles(results) if method in METHODS]
    return tuple(dict.fromkeys([*GARIPOV, *others]))


def table_data(results: Results) -> tuple[str, ...]:
    """Return the data sets of Table 1: CIFAR-100 and CIFAR-10, or what stands for CIFAR-10; planned ones first."""
    planned = dict.fromkeys(data for _, data, method in named_ensembles(results) if method in METHODS)
    own = [data for data in planned if data != HUNDRED] or ["cifar10"]
    return tuple(sorted([HUNDRED, *own], key=lambda data: data not in planned))


def published_data(data: str) -> str:
    """Return the papers' data set beside whose numbers those on `data` stand: small presets stand for CIFAR-10."""
    return data if data in DATA else "cifar10"


def data_title(data: str, results: Results) -> str:
    """Return the name of a data set, with its number of training images where it is not all of the papers'."""
    title, count = DATA.get(data, data), (results.data.get(data) or {}).get("train")
    return title if count is None or count == FULL.get(data) else f"{title}, {count:,} images"


def network_title(network: str, info: Mapping[str, Any] | None) -> str:
    """Return the papers' name of a network, with what makes ours another or a thinner one.

    Args:
        network: its name, `vgg16` for example.
        info: `family` and `options` of ours, None where there is none.
    """
    title = TITLES.get(network) or HUANG.get(network, network)
    if info is None or not info.get("family"):
        return title
    if network not in NETWORKS:
        return str(info.get("title") or title)
    words = [_plain(word) for word in differences(network, info)] + _thinner(info)
    return f"{title} ({', '.join(words)})" if words else title


def _plain(difference: str) -> str:
    """Return an option and its value as they are said: `batch norm` for `batch_norm True`."""
    key, _, value = difference.replace("_", " ").rpartition(" ")
    return {"True": key, "False": f"no {key}"}.get(value, f"{key} {value}".strip())


def _thinner(info: Mapping[str, Any]) -> list[str]:
    options = info.get("options") or {}
    ratios = [Fraction(options.get(key, size)) / size for key, size in SCALES.get(str(info["family"]), {}).items()]
    return [f"{ratio} of the filters" for ratio in ratios if ratio != 1]


def pooled(info: Mapping[str, Any] | None, budgets: int) -> Mapping[str, Any] | None:
    """Return the scores of all members of the first `budgets` budgets together, None where there are fewer."""
    rows = (info or {}).get("pooled") or []
    return next((row for row in rows if row["budgets"] == budgets), None)


def one_budget(info: Mapping[str, Any] | None) -> list[float]:
    """Return the error (a fraction) of each budget alone, those that are not known left out."""
    errors = ((info or {}).get("one_budget") or {}).get("errors") or []
    return [float(error) for error in errors if error is not None and math.isfinite(error)]


def lowest(values: Sequence[float | None]) -> tuple[bool, ...]:
    """Tell which of several errors in percent are the lowest as shown, with two digits; none among fewer than two."""
    shown = [None if value is None else round(value, 2) for value in values]
    known = [value for value in shown if value is not None]
    return tuple(len(known) > 1 and value is not None and value == min(known) for value in shown)
