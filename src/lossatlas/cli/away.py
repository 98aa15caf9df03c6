"""The commands for stages that another machine computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossatlas.cli.output import AsJson, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors, workspace


@app.command(
    short_help="stages for a machine without DVC",
    epilog=examples("lossatlas pack carried", "lossatlas pack carried train resnet56 plane resnet56"),
)
def pack(
    folder: Annotated[Path, typer.Argument(help="the folder to fill")],
    stage: Annotated[
        list[str] | None, typer.Argument(help="kinds and names, one after the other (default: all that compute)")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fill a folder with stages for `python -m lossatlas.stages.away` on a machine without DVC, and what they need."""
    from lossatlas.config import load_params
    from lossatlas.stages.bundle import pack as fill

    output, words = Output(quiet, as_json), stage or []
    with one_line_errors():
        if len(words) % 2:
            raise ValueError(f"stage = {' '.join(words)!r} is no row of kinds and names; for example train resnet56")
        place = workspace()
        keys = fill(place, load_params(place), folder, zip(words[::2], words[1::2], strict=True))
    output.say(f"{len(keys)} stages to compute in {folder}: {', '.join(' '.join(key) for key in keys)}")
    output.data({"folder": str(folder), "stages": [" ".join(key) for key in keys]})


@app.command(short_help="take in what that machine computed", epilog=examples("lossatlas adopt carried"))
def adopt(
    results: Annotated[Path, typer.Argument(help="the folder that `lossatlas.stages.away` filled")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Verify stages that another machine computed and take them in; `dvc repro` then publishes them."""
    from lossatlas.config import load_params
    from lossatlas.stages.adopt import adopt as take_in

    output = Output(quiet, as_json)
    with one_line_errors():
        place = workspace()
        keys = take_in(place, load_params(place), results, tell=output.say)
    output.data([" ".join(key) for key in keys])
