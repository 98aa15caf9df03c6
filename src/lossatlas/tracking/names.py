"""Keys and values in the form and size that MLflow accepts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from lossatlas.files import canonical_json, sha256_bytes

TAG = "lossatlas."
SUPERSEDED = f"{TAG}superseded"
CONTENT = f"{TAG}content"
COMMIT = "mlflow.source.git.commit"
NOTE = "mlflow.note.content"
COLOUR = "mlflow.runColor"
LONGEST_KEY = 250
LONGEST_VALUE = 6000  # of a param; a tag may have 8000


def key(name: str) -> str:
    """Return `name` with every character that MLflow refuses replaced by an underscore."""
    return re.sub(r"[^\w\-./ :]", "_", name, flags=re.ASCII).strip("./ ")[:LONGEST_KEY] or "_"


def identity(kind: str, name: str, preset: str, stage_hash: str) -> dict[str, str]:
    """Return the tags that identify a run within its experiment, with the names shown by the UI."""
    own = {"kind": kind, "name": name, "preset": preset, "stage_hash": stage_hash}
    shown = {"mlflow.runName": f"{kind} {name}", "mlflow.source.name": "lossatlas", "mlflow.source.type": "LOCAL"}
    return {f"{TAG}{word}": value for word, value in own.items()} | shown


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings with dotted keys and text values; lists and empty mappings become JSON."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[key(f"{prefix}{name}")] = _text(value)
    return flat


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers among `values`."""
    numbers = {k: v for k, v in values.items() if isinstance(v, Real) and not isinstance(v, bool)}
    return {key(k): float(v) for k, v in numbers.items() if math.isfinite(v)}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE - 100]}... (cut; sha256 {sha256_bytes(text.encode())})"
