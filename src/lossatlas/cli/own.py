"""The commands for networks of one's own: lines, planes and Hessian maps from names of Python objects and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossatlas.cli.output import AsJson, Force, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors

if TYPE_CHECKING:
    from lossatlas.own.request import Kind

Words = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE...", help="model= and data=, and more of the words below")
]
To = Annotated[
    list[Path] | None,
    typer.Option(help="also write this file: .vtp .obj .stl .ply .glb .npz .nc, .h5 (Li et al.'s program)"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="measure one point, say what all would cost, and write nothing")
]
# what `lossatlas.own.request` takes; a test compares them
_COMMON = """\b
Words (model= and data= are needed):
  model=module:Net data=module:data or data.npz  checkpoint=net.pt  out=result.h5
  loss= seed= normalization=filter|layer|weight|none exclude_1d=true|false batch_size= device=cpu|cuda|cuda:N
"""
_LOSSES = "  test= accuracy= precision=float32|tf32|bfloat16|float16 graph=true|false\n"
_KEYS = {
    "plane": f"{_COMMON}{_LOSSES}  x=min:max:points or a,b,c  y=  rtol= atol= (sampled instead of exact)",
    "line": f"{_COMMON}{_LOSSES}  alpha=min:max:points or a,b,c",
    "hessian": f"{_COMMON}  x=min:max:points or a,b,c  y=  tolerance= max_products= weights=matrices|all",
}


def _end(kind: Kind, *lines: str) -> str:
    return f"{_KEYS[kind]}\n\n{examples(*lines)}"


def _run(
    kind: Kind, words: list[str], to: list[Path] | None, force: bool, dry_run: bool, quiet: bool, as_json: bool
) -> None:
    from lossatlas.own.command import estimate, map_own

    told = Output(quiet, as_json)
    with one_line_errors():
        text, values = (estimate if dry_run else map_own)(kind, words, to=to or [], force=force)
    told.say(text)
    told.data(values)


@app.command(
    short_help="your own network on a plane",
    epilog=_end(
        "plane",
        "lossatlas plane model=mymodule:Net checkpoint=net.pt data=mymodule:data --dry-run",
        "lossatlas plane model=mymodule:Net checkpoint=net.pt data=data.npz x=-1:1:25 out=surface.h5 --to surface.vtp",
    ),
)
def plane(
    words: Words,
    to: To = None,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map the loss of your own network over a plane of two random directions; a killed run goes on where it was."""
    _run("plane", words, to, force, dry_run, quiet, as_json)


@app.command(
    short_help="your own network on a line",
    epilog=_end("line", "lossatlas line model=mymodule:Net checkpoint=net.pt data=mymodule:data alpha=-1:1:51"),
)
def line(
    words: Words,
    to: To = None,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map the loss of your own network along a random direction; a killed run goes on where it was."""
    _run("line", words, to, force, dry_run, quiet, as_json)


@app.command(
    short_help="curvature of your own network on a plane",
    epilog=_end("hessian", "lossatlas hessian model=mymodule:Net checkpoint=net.pt data=mymodule:data x=-1:1:5"),
)
def hessian(
    words: Words,
    to: To = None,
    force: Force = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map both ends of the Hessian's spectrum of your own network over a plane; a killed run goes on where it was."""
    _run("hessian", words, to, force, dry_run, quiet, as_json)
