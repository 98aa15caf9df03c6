"""The commands for networks of one's own: lines, planes and Hessian maps from names of Python objects and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossatlas.cli.output import AsJson, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors

if TYPE_CHECKING:
    from lossatlas.own.request import Kind

Words = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE...", help="model= and data=, and more as docs/own-models.md says")
]
To = Annotated[list[Path] | None, typer.Option(help="also write this file: .vtp .obj .stl .ply .glb .npz .nc")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="measure one point, say what all would cost, and write nothing")
]


def _run(kind: Kind, words: list[str], to: list[Path] | None, dry_run: bool, quiet: bool, as_json: bool) -> None:
    from lossatlas.own.command import estimate, map_own

    told = Output(quiet, as_json)
    with one_line_errors():
        text, values = estimate(kind, words) if dry_run else map_own(kind, words, to=to or [])
    told.say(text)
    told.data(values)


@app.command(
    short_help="your own network on a plane",
    epilog=examples(
        "lossatlas plane model=mymodule:Net checkpoint=net.pt data=mymodule:data --dry-run",
        "lossatlas plane model=mymodule:Net checkpoint=net.pt data=data.npz x=-1:1:25 out=surface.h5 --to surface.vtp",
    ),
)
def plane(
    words: Words,
    to: To = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map the loss of your own network over a plane of two random directions; a killed run goes on where it was."""
    _run("plane", words, to, dry_run, quiet, as_json)


@app.command(
    short_help="your own network on a line",
    epilog=examples("lossatlas line model=mymodule:Net checkpoint=net.pt data=mymodule:data alpha=-1:1:51"),
)
def line(
    words: Words,
    to: To = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map the loss of your own network along a random direction; a killed run goes on where it was."""
    _run("line", words, to, dry_run, quiet, as_json)


@app.command(
    short_help="curvature of your own network on a plane",
    epilog=examples("lossatlas hessian model=mymodule:Net checkpoint=net.pt data=mymodule:data x=-1:1:5"),
)
def hessian(
    words: Words,
    to: To = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Map both ends of the Hessian's spectrum of your own network over a plane; a killed run goes on where it was."""
    _run("hessian", words, to, dry_run, quiet, as_json)
