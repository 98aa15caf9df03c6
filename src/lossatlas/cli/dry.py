"""What `--dry-run` shows."""

from __future__ import annotations

from collections.abc import Sequence

from lossatlas.cli.output import Output
from lossatlas.paths import Workspace
from lossatlas.progress import progress
from lossatlas.settings import Params
from lossatlas.stages.task import Key


def show_estimate(workspace: Workspace, params: Params, keys: Sequence[Key], output: Output) -> None:
    """Measure the networks that are left to compute, and print the time of each stage and of all."""
    from lossatlas.engine.executors import cores, one_thread
    from lossatlas.stages.estimate import estimate, table

    one_thread()
    with progress("measuring", len(keys), unit="stages") as advance:
        found = estimate(workspace, params, keys, advance=advance)
    workers = 1 if params.executor.kind == "inline" else getattr(params.executor, "workers", None) or cores()
    output.say(table(found, workers))
    seconds = sum(item.seconds or 0.0 for item in found)
    output.data({"stages": [item.record() for item in found], "seconds": seconds, "workers": workers})
