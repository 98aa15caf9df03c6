"""The commands that take published results elsewhere: times, exports, films."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lossatlas.cli.output import AsJson, Force, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors, workspace


@app.command(
    short_help="how long each stage took",
    epilog=examples("lossatlas times", "lossatlas times --output reports/default/times.md"),
)
def times(
    output: Annotated[str | None, typer.Option(help="write the table to this file, relative to the checkout")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print how long each published stage of the present preset took, as Markdown."""
    from lossatlas.config import load_params
    from lossatlas.files import write_text
    from lossatlas.stages.times import stage_seconds, times_table

    told = Output(quiet, as_json)
    with one_line_errors():
        place = workspace()
        params = load_params(place)
        table = times_table(place, params)
        if output is not None:
            write_text(place.root / output, table)
        seconds = stage_seconds(place, params)
    told.say(table.removesuffix("\n"))
    told.data({" ".join(key): value for key, value in seconds.items()})


def _require_stage(kind: str, name: str) -> None:
    """Refuse what is neither published nor a stage of the present preset.

    Raises:
        UnknownStageError: see above.
    """
    from lossatlas.config import load_params
    from lossatlas.stages.plan import KINDS, UnknownStageError, stage_keys

    place = workspace()
    params = load_params(place)
    keys = list(stage_keys(params))
    if (kind, name) in keys or place.artifacts(params.preset, kind, name).is_dir():
        return
    names = ", ".join(other for found, other in keys if found == kind)
    hint = f"there are: {names}" if names else f"kinds: {', '.join(KINDS)}"
    raise UnknownStageError(f"preset {params.preset} has no stage {kind} {name}; {hint}")


@app.command(
    short_help="a result in another program's format",
    epilog=examples("lossatlas export plane resnet56 --to surface.vtp --log", "lossatlas export line.h5 --to line.npz"),
)
def export(
    source: Annotated[list[str], typer.Argument(help="a result file, or a kind and a name: plane resnet56")],
    to: Annotated[
        Path, typer.Option(help="the file to write: .vtp .obj .stl .ply .glb .npz .nc, .h5 (Li et al.'s program)")
    ],
    value: Annotated[str | None, typer.Option(help="what the height shows (default: the training loss)")] = None,
    log: Annotated[bool, typer.Option("--log", help="the height is the decimal logarithm")] = False,
    cap: Annotated[float | None, typer.Option(help="cut larger values off here")] = None,
    scale: Annotated[str, typer.Option(help="factor of the height, or fit")] = "1",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a result in another program's format."""
    from lossatlas.exports.command import export_command

    output = Output(quiet, as_json)
    with one_line_errors():
        if len(source) == 2:
            _require_stage(*source)
        told = export_command(source, to, value=value, log=log, cap=cap, scale=scale, force=force)
    output.say(told)
    output.data({"file": str(to), "source": source})


@app.command(
    short_help="a film of a descent or a surface",
    epilog=examples(
        "lossatlas animate trajectory vgg9 --to descent.gif",
        "lossatlas animate plane resnet20_epoch1 resnet20 --to surface.gif --look contours",
    ),
)
def animate(
    kind: Annotated[str, typer.Argument(help="trajectory or plane")],
    names: Annotated[list[str], typer.Argument(help="a trajectory, or planes in the order to show")],
    to: Annotated[Path, typer.Option(help="the file to write: .gif, or .mp4 with ffmpeg")],
    title: Annotated[str | None, typer.Option(help="a headline (default: the network)")] = None,
    look: Annotated[Literal["surface", "contours"], typer.Option(help="of planes")] = "surface",
    fps: Annotated[float | None, typer.Option(help="frames per second (default: about 8 s in all)")] = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a film of a descent over its loss, or of a surface from epoch to epoch."""
    from lossatlas.exports.command import animate_command

    output = Output(quiet, as_json)
    with one_line_errors():
        for name in names if kind in ("trajectory", "plane") else ():
            _require_stage(kind, name)
        told = animate_command(kind, names, to, title=title, look=look, fps=fps, force=force)
    output.say(told)
    output.data({"file": str(to), "kind": kind, "names": names})
