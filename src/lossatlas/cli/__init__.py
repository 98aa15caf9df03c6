"""The command line, a module per group of commands; heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import sys

# each registers its commands
from lossatlas.cli import away as away
from lossatlas.cli import compose as compose
from lossatlas.cli import own as own
from lossatlas.cli import results as results
from lossatlas.cli import stages as stages
from lossatlas.cli import tracked as tracked
from lossatlas.cli import verdicts as verdicts
from lossatlas.cli.program import app as app
from lossatlas.stages.stopping import StoppedError, raise_on_signals


def main() -> None:
    """Run the command line."""
    raise_on_signals()
    try:
        app()
    except StoppedError as stopped:
        kept = sys.argv[1:2] and sys.argv[1] in ("stage", "prefill", "plane", "line", "hessian")  # others begin anew
        what = "; what was finished is kept, the same command goes on from there" if kept else ""
        print(f"lossatlas: stopped by {stopped.signal}{what}", file=sys.stderr, flush=True)
        raise
