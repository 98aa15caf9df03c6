"""The command that composes settings."""

from __future__ import annotations

from typing import Annotated

import typer

from lossatlas.cli.output import AsJson, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors, workspace


@app.command(
    short_help="settings into params.yaml",
    epilog=examples(
        "lossatlas compose preset=smoke runs.resnet20.train.epochs=5",
        "lossatlas compose preset=cifar-mini datasets.cifar10.root=/path/to/images",
    ),
)
def compose(
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, for example preset=smoke")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compose the settings into params.yaml (default: preset=default)."""
    from lossatlas.config import write_params
    from lossatlas.stages.plan import STUDIES

    output = Output(quiet, as_json)
    with one_line_errors():
        params = write_params(workspace(), overrides or [])
    studies = {kind: len(getattr(params, group)) for kind, group in STUDIES.items()}
    output.say(
        f"params.yaml: preset {params.preset} ({params.title}); "
        f"{len(params.runs)} runs, {sum(studies.values())} studies ({len(params.planes)} planes)"
    )
    output.data({"preset": params.preset, "title": params.title, "runs": len(params.runs), "studies": studies})
