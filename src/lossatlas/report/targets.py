"""The published numbers, each with its source; nothing in the report types one by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TARGETS_FILE = Path(__file__).with_name("targets.yaml")
Match = tuple[tuple[str, Any], ...]
Address = tuple[str | int | Match, ...]


def where(**keys: Any) -> Match:
    """Return the part of an address that selects the one row of a list whose entries equal `keys`."""
    return tuple(sorted(keys.items()))


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes:
        value: the number as printed; errors are in percent, losses in nats.
        spread: the spread over repetitions where the source gives one.
        in_documents: whether it stands in the project's source documents; otherwise it is known from the publication
            alone and marked in the report.
    """

    value: float
    spread: float | None
    in_documents: bool

    @property
    def mark(self) -> str:
        """The dagger of a number that is known from the publication alone, else nothing."""
        return "" if self.in_documents else "†"


@dataclass(frozen=True)
class Targets:
    """The content of `targets.yaml`."""

    content: Mapping[str, Any]

    def find(self, address: Address) -> Published | None:
        """Return the number at `address`, or None where a key or a row is missing."""
        node: Any = self.content
        in_documents = True
        for part in address:
            if isinstance(node, Mapping):
                in_documents = node.get("seed", in_documents)
            node = _step(node, part)
            if node is None:
                return None
        value, spread = node if isinstance(node, list) else (node, None)
        return Published(float(value), spread, in_documents)

    def get(self, address: Address) -> Published:
        """Return the number at `address`.

        Raises:
            KeyError: no such number.
        """
        found = self.find(address)
        if found is None:
            raise KeyError(f"targets.yaml has no number at {address}; add it there with its source")
        return found

    def parameter_count(self, paper: str, network: str) -> int | None:
        """Return the number of trainable parameters of `network` in `paper` (10 classes, 3x32x32 input) if known."""
        count = self.content["parameter_counts"].get(paper, {}).get(network)
        return None if count is None else int(count)

    def claim(self, identifier: str) -> str:
        """Return the text of a claim.

        Raises:
            KeyError: no paper has a claim of this name.
        """
        for paper in self.content.values():
            for claim in paper.get("claims", ()):
                if claim["id"] == identifier:
                    return str(claim["text"])
        raise KeyError(f"targets.yaml has no claim {identifier!r}; add it to the claims of its paper")

    def claim_number(self, identifier: str) -> float:
        """Return the only number in the text of a claim.

        Raises:
            KeyError: no such claim.
            ValueError: its text holds no number or several.
        """
        numbers = re.findall(r"\d+(?:\.\d+)?", self.claim(identifier))
        if len(numbers) != 1:
            raise ValueError(f"claim {identifier!r} holds {len(numbers)} numbers, expected 1; word it with one number")
        return float(numbers[0])


def _step(node: Any, part: str | int | Match) -> Any:
    if isinstance(part, tuple):
        rows = [row for row in node if all(row.get(key) == value for key, value in part)]
        return rows[0] if len(rows) == 1 else None
    if isinstance(part, int):
        return node[part] if isinstance(node, list) and part < len(node) else None
    return node.get(part) if isinstance(node, Mapping) else None


@cache
def load_targets(path: Path = TARGETS_FILE) -> Targets:
    """Read the published numbers."""
    import yaml

    return Targets(yaml.safe_load(path.read_text()))
