"""What commands print: words, nothing but errors (`--quiet`), or data (`--json`); colours on terminals alone."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print errors only, no progress")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON, no progress")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print what would run and how long it takes; write nothing")]
Force = Annotated[bool, typer.Option("--force", help="replace files that are there, though never one that is read")]
COLOURS = {
    **dict.fromkeys(("pass", "ok", "holds", "reproduced"), "32"),
    **dict.fromkeys(("fail", "problem", "failed"), "31"),
    **dict.fromkeys(("note", "off", "does not hold"), "33"),
}


@dataclass(frozen=True)
class Output:
    """How a command was asked to speak."""

    quiet: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Switch progress bars off, those of worker processes too, unless words are wanted."""
        if self.quiet or self.as_json:
            os.environ["LOSSATLAS_PROGRESS"] = "off"

    def say(self, text: str) -> None:
        """Print a line of words."""
        if not (self.quiet or self.as_json):
            print(text, flush=True)

    def data(self, value: Any) -> None:
        """Print the command's result if JSON is wanted; numbers that are not finite become null."""
        if self.as_json:
            print(json.dumps(_finite(value), indent=1, sort_keys=True, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def coloured() -> bool:
    """Return whether standard output takes colours: a terminal, and no NO_COLOR (see no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def verdict(word: str, width: int = 0) -> str:
    """Return a verdict padded to `width`, in its colour on terminals."""
    text = f"{word:{width}}"
    code = COLOURS.get(word.split(" by ")[0])
    return f"\033[{code}m{text}\033[0m" if code and coloured() else text
