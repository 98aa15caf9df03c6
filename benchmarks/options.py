"""What a part of the benchmark is told."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """Settings of one part.

    Attributes:
        folder: an image folder, or None for scikit-learn's digits.
        workers: processes that keep the cores busy.
        rounds: times that everything is measured in turn.
        sizes: what is particular to the part, see `SIZES` in `bench.py`.
        scratch: where unfinished work is kept.
    """

    folder: str | None
    workers: int
    rounds: int
    sizes: Mapping[str, Any]
    scratch: Path
    quiet: bool = field(default=False)

    def say(self, text: str) -> None:
        """Tell how far it is."""
        if not self.quiet:
            print(f"  {text}", file=sys.stderr, flush=True)
