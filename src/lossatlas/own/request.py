"""What is asked of a command: words such as `model=mymodule:Net`, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lossatlas.results import Floats

Kind = Literal["plane", "line", "hessian"]
_BOTH = ("model", "checkpoint", "data", "loss", "seed", "normalization", "exclude_1d", "batch_size", "device", "out")
KEYS: dict[Kind, tuple[str, ...]] = {
    "plane": (*_BOTH, "test", "accuracy", "precision", "graph", "x", "y", "rtol", "atol"),
    "line": (*_BOTH, "test", "accuracy", "precision", "graph", "alpha"),
    "hessian": (*_BOTH, "x", "y", "tolerance", "max_products", "weights"),
}
CHOICES = {
    "normalization": ("filter", "layer", "weight", "none"),
    "precision": ("float32", "tf32", "bfloat16", "float16"),
    "weights": ("matrices", "all"),
    "exclude_1d": ("true", "false"),
    "graph": ("true", "false"),
}
_POINTS = {"plane": "-1:1:25", "line": "-1:1:51", "hessian": "-1:1:5"}


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes:
        kind: what is wanted.
        model: `module:name`.
        data: `module:name` or an `.npz` file.
        checkpoint: a file of weights; None takes those that the model is made with.
        test: as `data`.
        loss: `module:name`.
        accuracy: `module:name`.
        axes: coordinates by name: `x` and `y`, or `alpha`.
        directions: `seed`, `normalization` and `exclude_1d` of the random directions.
        options: what else the computation takes.
        sampling: the tolerances of a sampled plane; empty for exact values.
        out: the result file.
    """

    kind: Kind
    model: str
    data: str
    checkpoint: Path | None
    test: str | None
    loss: str | None
    accuracy: str | None
    axes: dict[str, Floats]
    directions: dict[str, Any]
    options: dict[str, Any]
    sampling: dict[str, float]
    out: Path

    @property
    def points(self) -> int:
        """How many points the result has."""
        return math.prod(len(axis) for axis in self.axes.values())

    @property
    def journal(self) -> Path:
        """Where finished points lie until the result is whole."""
        return self.out.with_name(f"{self.out.name}.journal")

    @property
    def figure(self) -> Path:
        """Where the figure goes."""
        return self.out.with_suffix(".png")


def parse(kind: Kind, words: Sequence[str]) -> Request:
    """Return what words ask for.

    Args:
        kind: of the result.
        words: `key=value` each.

    Raises:
        ValueError: an unknown key, one given twice, a missing one, or an impossible value.
    """
    given = _given(kind, words)
    for key in ("model", "data"):
        if key not in given:
            raise ValueError(f"{key}= is missing; say {key}=mymodule:{'Net' if key == 'model' else 'data'}")
    for key, allowed in CHOICES.items():
        if key in given and given[key] not in allowed:
            raise ValueError(f"{key} = {given[key]!r} is impossible; allowed: {', '.join(allowed)}")
    names = ("alpha",) if kind == "line" else ("x", "y")
    first = given.get(names[0], _POINTS[kind])
    axes = {name: coordinates(name, given.get(name, first)) for name in names}
    out = Path(given.get("out", f"{kind}.h5"))
    if out.suffix != ".h5":
        raise ValueError(f"out = {str(out)!r} is impossible; results are .h5 files (--to writes other formats)")
    options: dict[str, Any] = {
        "batch_size": _whole(given, "batch_size", 128, least=1),
        "device": given.get("device", "cpu"),
    }
    if kind == "hessian":
        options |= {
            "tolerance": _number(given, "tolerance", 1e-3),
            "max_products": _whole(given, "max_products", 300, least=3),
            "weights": given.get("weights", "matrices"),
        }
    else:
        options |= {"precision": given.get("precision", "float32")}
        options |= {"graph": True} if given.get("graph") == "true" else {}
    return Request(
        kind=kind,
        model=given["model"],
        data=given["data"],
        checkpoint=Path(given["checkpoint"]) if "checkpoint" in given else None,
        test=given.get("test"),
        loss=given.get("loss"),
        accuracy=given.get("accuracy"),
        axes=axes,
        directions={
            "seed": _whole(given, "seed", 0, least=0),
            "normalization": given.get("normalization", "filter"),
            "exclude_1d": given.get("exclude_1d", "true") == "true",
        },
        options=options,
        sampling={key: _number(given, key, 0.0) for key in ("rtol", "atol") if key in given},
        out=out,
    )


def _given(kind: Kind, words: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not value:
            raise ValueError(f"{word!r} is no key=value, such as model=mymodule:Net; keys: {', '.join(KEYS[kind])}")
        if key not in KEYS[kind]:
            near = get_close_matches(key, KEYS[kind], 1)
            hint = f"; did you mean {near[0]}=?" if near else f"; keys: {', '.join(KEYS[kind])}"
            raise ValueError(f"{key}= is no key of {kind}{hint}")
        if key in given:
            raise ValueError(f"{key}= is given twice; give it once")
        given[key] = value
    return given


def coordinates(name: str, text: str) -> Floats:
    """Return coordinates from `min:max:points` or `a,b,c`.

    Raises:
        ValueError: another form, or impossible numbers.
    """
    try:
        if ":" in text:
            low, high, points = text.split(":")
            values = np.linspace(float(low), float(high), int(points))
            # an exact zero where one belongs: the centre is the checkpoint
            values[np.abs(values) < 1e-9 * abs(float(high) - float(low))] = 0.0
        else:
            values = np.array([float(number) for number in text.split(",")])
    except ValueError:
        values = np.array([])
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"{name} = {text!r} is impossible; say min:max:points, such as -1:1:25, or numbers a,b,c")
    return values


def _number(given: dict[str, str], key: str, default: float) -> float:
    try:
        value = float(given.get(key, default))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{key} = {given[key]!r} is impossible; it is a number of at least 0")
    return value


def _whole(given: dict[str, str], key: str, default: int, *, least: int) -> int:
    text = given.get(key, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{key} = {text!r} is impossible; it is a whole number of at least {least}")
    return int(text)
