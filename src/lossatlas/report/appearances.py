"""In which figures and tables of the papers a stage's result stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from lossatlas.report import catalogue as c
from lossatlas.report.networks import split_run

_LI, _GARIPOV, _HUANG = c.PAPERS["li2018"], c.PAPERS["garipov2018"], c.PAPERS["huang2017"]
_EIGHT = tuple(chain(*c.VGG9_EIGHT))
_PLANES: dict[int, Iterable[str]] = {
    1: c.FIGURE1,
    3: c.FIGURE3,
    4: c.FIGURE4,
    5: chain(*c.FIGURE5),
    6: chain(*c.FIGURE6),
    15: chain(*c.RESNET56_EIGHT),
    17: c.FIGURE17,
}
_TRAININGS: dict[int, Iterable[str]] = {
    10: chain(*c.FIGURE10),
    18: chain(*c.FIGURE18),
    19: chain(*c.FIGURE19.values()),
}
_PROFILES: dict[int, Iterable[str]] = {
    3: c.FIGURE3,
    11: _EIGHT,
    12: _EIGHT,
    13: _EIGHT,
    15: chain(*c.RESNET56_EIGHT),
    16: c.FIGURE16,
}
# kind of stage: the names in each figure of Li et al.
_LISTED: dict[str, dict[int, Iterable[str]]] = {
    "train": _TRAININGS,
    "plane": _PLANES,
    "profile": _PROFILES,
    "line": {2: [name for name, *_ in c.FIGURE2], 14: [name for name, *_ in c.FIGURE14]},
    "hessian": {7: c.FIGURE7},
    "trajectory": {8: c.FIGURE8, 9: chain(*c.FIGURE9)},
}
_FIGURES = {kind: {number: frozenset(names) for number, names in each.items()} for kind, each in _LISTED.items()}
# kind of stage: the figures and tables of Garipov et al. that show all of its kind
_OF_MODES = {"curve": ("Figure 2",), "plane3": ("Figure 1",), "fge": ("Figure 3", "Table 1"), "ensemble": ("Table 1",)}


def appearances(kind: str, name: str) -> tuple[str, ...]:
    """Return the figures and tables that show a stage's result, for example `Li et al. 2018, Figure 1`.

    A run stands, besides where it is itself shown, in the tables of test errors.
    """
    return tuple(dict.fromkeys(_found(kind, name)))


def _found(kind: str, name: str) -> Iterator[str]:
    yield from (f"{_LI}, Figure {number}" for number, names in _FIGURES.get(kind, {}).items() if name in names)
    if kind == "train":
        if name in c.TABLE2:
            yield f"{_LI}, Table 2"
        if name in chain(*c.RESNET56_EIGHT):
            yield f"{_LI}, Table 1"
        if split_run(name).base in c.GARIPOV:
            yield f"{_GARIPOV}, Table 1"
    if kind in _OF_MODES and name.split("-")[0] in c.HUANG and split_run(name).base not in c.GARIPOV:
        yield f"{_HUANG}, Table 1"
    else:
        yield from (f"{_GARIPOV}, {item}" for item in _OF_MODES.get(kind, ()))
