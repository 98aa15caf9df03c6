"""The commands of the tracking database."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from lossatlas.cli.output import AsJson, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors, workspace


@app.command(short_help="published results to MLflow", epilog=examples("lossatlas track"))
def track(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Log every published result of the present preset to MLflow; what is there already is left alone."""
    from lossatlas.config import load_params
    from lossatlas.stages.plan import stage_keys
    from lossatlas.stages.tracked import track_preset, tracking_uri
    from lossatlas.tracking import shown

    output = Output(quiet, as_json)
    with one_line_errors():
        place = workspace()
        params = load_params(place)
        if not any((place.artifacts(params.preset, *key) / "stage.json").is_file() for key in stage_keys(params)):
            raise ValueError(
                f"nothing is published yet for preset {params.preset}; run `make reproduce` or `dvc repro`"
            )
        told = track_preset(place, params)
    report, uri = place.reports(params.preset) / "report.html", shown(tracking_uri(place, params))
    output.say(told)
    if report.is_file():
        output.say(f"report: {report}")
    output.say(f"tracking database: {uri} (make ui)")
    output.data({"summary": told, "report": str(report) if report.is_file() else None, "tracking_uri": uri})


@app.command(short_help="serve the MLflow UI on this machine", epilog=examples("lossatlas ui --open"))
def ui(
    port: Annotated[int, typer.Option(help="port on the loopback interface")] = 5000,
    browser: Annotated[
        bool, typer.Option("--open", help="show the comparison in a browser, where there is one")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Serve the MLflow UI over the tracking database, on this machine only, and say where its runs are compared."""
    from lossatlas.config import load_params
    from lossatlas.stages.tracked import compared, tracking_uri
    from lossatlas.tracking import shown, ui_command

    with one_line_errors():
        place = workspace()
        params = load_params(place)
        uri = tracking_uri(place, params)
        served = uri.startswith(("http://", "https://"))
        base = shown(uri).rstrip("/") if served else f"http://127.0.0.1:{port}"
        command, environment = ([], {}) if served else ui_command(uri, port)
        pages = compared(place, params)
    output = Output(quiet, as_json)
    side_by_side, curves = f"{base}{pages.side_by_side}", f"{base}{pages.curves}"
    output.say(f"MLflow UI: {base}\ntrainings of preset {params.preset} side by side: {side_by_side}")
    output.say(f"their curves: {curves}")
    output.data({"ui": base, "side_by_side": side_by_side, "curves": curves})
    if browser:
        opening = [sys.executable, "-m", "lossatlas.tracking.comparison", base, pages.side_by_side]
        subprocess.Popen(opening, start_new_session=True)
    if not served:
        os.execvpe(command[0], command, environment)
