"""The command line; heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from lossatlas.paths import Workspace, find_workspace
from lossatlas.stages.stopping import StoppedError, raise_on_signals

app = typer.Typer(
    help="Train networks, map the geometry of their losses, and compare with the papers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End with one line and exit code 2 for errors that the user can mend."""
    from lossatlas.closure import SourceChangedError
    from lossatlas.tracking.errors import TrackingError

    try:
        yield
    except (ValueError, OSError, SourceChangedError, TrackingError) as error:
        print(f"lossatlas: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def _workspace() -> Workspace:
    return find_workspace()


@app.command()
def compose(
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides, for example preset=smoke")] = None,
) -> None:
    """Compose the settings into params.yaml (default: preset=default)."""
    from lossatlas.config import write_params
    from lossatlas.stages.plan import STUDIES

    with _one_line_errors():
        params = write_params(_workspace(), overrides or [])
    studies = sum(len(getattr(params, group)) for group in STUDIES.values())
    print(
        f"params.yaml: preset {params.preset} ({params.title}); "
        f"{len(params.runs)} runs, {studies} studies ({len(params.planes)} planes)"
    )


@app.command()
def stage(
    kind: Annotated[str, typer.Argument(help="plan, data, train, plane, hessian, ... (see dvc.yaml)")],
    name: Annotated[
        str | None, typer.Argument(help="the stage's name in params.yaml; without one every study of the kind")
    ] = None,
) -> None:
    """Complete one stage, or all studies of a kind, and publish the output (what dvc.yaml calls)."""
    # a task computes with one thread, whoever runs it
    os.environ["OMP_NUM_THREADS"] = "1"
    from lossatlas.config import load_params
    from lossatlas.stages.plan import SHOWN
    from lossatlas.stages.planned import require_planned, write_planned
    from lossatlas.stages.runner import Runner

    with _one_line_errors():
        workspace = _workspace()
        params = load_params(workspace)
        if kind == "plan":
            print(f"plan: {write_planned(workspace, params).relative_to(workspace.root)} written")
            return
        if "DVC_STAGE" in os.environ:  # DVC records the plan as what the output was made from
            require_planned(workspace, params, kind, name)
        runner = Runner(workspace, params)
        outcomes = [runner.publish((kind, name or "all"))] if name or kind in SHOWN else runner.publish_all(kind)
    for outcome in outcomes:
        what = f"computed in {outcome.seconds:.1f} s" if outcome.computed else "finished before"
        print(f"{kind} {outcome.key[1]}: {what}, published ({outcome.stage_hash[:12]})")


@app.command()
def prefill() -> None:
    """Complete all stages in scratch, in parallel; `dvc repro` then only publishes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from lossatlas.config import load_params
    from lossatlas.engine.executors import make_executor
    from lossatlas.stages.planned import write_planned
    from lossatlas.stages.prefill import prefill as complete
    from lossatlas.stages.prune import prune
    from lossatlas.stages.runner import Outcome

    def tell(what: Outcome | str) -> None:
        if isinstance(what, str):
            print(what, file=sys.stderr)
        elif what.computed:
            wipe = "\r\033[K" if sys.stdout.isatty() else ""  # a worker's progress bar may stand here
            print(f"{wipe}{what.key[0]} {what.key[1]}: computed in {what.seconds:.1f} s", flush=True)

    with _one_line_errors():
        workspace = _workspace()
        params = load_params(workspace)
        write_planned(workspace, params)  # library versions and images too, which DVC does not watch
        with make_executor(params.executor.kind, params.executor.workers) as executor:
            summary = complete(workspace, params, executor, tell=tell)
        for path in prune(workspace, params):
            print(f"removed {path.relative_to(workspace.root)}: {path.stem} is not in params.yaml")
    reused = sum(not outcome.computed for outcome in summary.outcomes)
    print(f"{len(summary.outcomes)} stages complete ({reused} before), {len(summary.failures)} failed")
    if summary.blocked:
        print(f"not begun, for want of those: {', '.join(' '.join(key) for key in summary.blocked)}", file=sys.stderr)
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def track() -> None:
    """Log every published result of the present preset to MLflow; what is there already is left alone."""
    from lossatlas.config import load_params
    from lossatlas.stages.tracked import track_preset, tracking_uri

    with _one_line_errors():
        workspace = _workspace()
        params = load_params(workspace)
        print(track_preset(workspace, params))
    print(f"report: {workspace.reports(params.preset) / 'report.html'}")
    print(f"tracking database: {tracking_uri(workspace, params)} (make ui)")


@app.command()
def check() -> None:
    """Print the verdicts of the present preset's checks; exit code 1 if one fails."""
    from lossatlas.config import load_params
    from lossatlas.report.checks import checks_passed, read_checks

    with _one_line_errors():
        workspace = _workspace()
        checks = read_checks(workspace.reports(load_params(workspace).preset) / "checks.json")
    for item in checks:
        print(f"{item.verdict:8} {item.title}: {item.detail}")
    if not checks_passed(checks):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Look at this installation, a line per check with what to do; exit code 1 if there is a problem."""
    from lossatlas.doctor import examine

    with _one_line_errors():
        findings = []
        for finding in examine(_workspace()):
            print(finding, flush=True)
            findings.append(finding)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def times(
    output: Annotated[str | None, typer.Option(help="write the table to this file, relative to the checkout")] = None,
) -> None:
    """Print how long each published stage of the present preset took, as Markdown."""
    from lossatlas.config import load_params
    from lossatlas.files import write_text
    from lossatlas.stages.times import times_table

    with _one_line_errors():
        workspace = _workspace()
        table = times_table(workspace, load_params(workspace))
        if output is not None:
            write_text(workspace.root / output, table)
    print(table, end="")


@app.command()
def export(
    source: Annotated[list[str], typer.Argument(help="a result file, or a kind and a name: plane resnet56")],
    to: Annotated[Path, typer.Option(help="the file to write: .vtp .obj .stl .ply .glb .npz .nc .h5 (Li et al.)")],
    value: Annotated[str | None, typer.Option(help="what the height shows (default: the training loss)")] = None,
    log: Annotated[bool, typer.Option("--log", help="the height is the decimal logarithm")] = False,
    cap: Annotated[float | None, typer.Option(help="cut larger values off here")] = None,
    scale: Annotated[str, typer.Option(help="factor of the height, or fit")] = "1",
) -> None:
    """Write a result in another program's format: lossatlas export plane resnet56 --to surface.vtp --log."""
    from lossatlas.exports.command import export_command

    with _one_line_errors():
        print(export_command(source, to, value=value, log=log, cap=cap, scale=scale))


@app.command()
def animate(
    kind: Annotated[str, typer.Argument(help="trajectory or plane")],
    names: Annotated[list[str], typer.Argument(help="a trajectory, or planes in the order to show")],
    to: Annotated[Path, typer.Option(help="the file to write: .gif, or .mp4 with ffmpeg")],
    title: Annotated[str | None, typer.Option(help="a headline (default: the network)")] = None,
    look: Annotated[Literal["surface", "contours"], typer.Option(help="of planes")] = "surface",
    fps: Annotated[float | None, typer.Option(help="frames per second (default: about 8 s in all)")] = None,
) -> None:
    """Write a film: lossatlas animate trajectory vgg9 --to descent.gif."""
    from lossatlas.exports.command import animate_command

    with _one_line_errors():
        print(animate_command(kind, names, to, title=title, look=look, fps=fps))


@app.command()
def ui(port: Annotated[int, typer.Option(help="port on the loopback interface")] = 5000) -> None:
    """Serve the MLflow UI over the tracking database, on this machine only."""
    from lossatlas.config import load_params
    from lossatlas.stages.tracked import tracking_uri
    from lossatlas.tracking import ui_command

    with _one_line_errors():
        workspace = _workspace()
        command, environment = ui_command(tracking_uri(workspace, load_params(workspace)), port)
    print(f"MLflow UI: http://127.0.0.1:{port}", flush=True)
    os.execvpe(command[0], command, environment)


def main() -> None:
    """Run the command line."""
    raise_on_signals()
    try:
        app()
    except StoppedError as stopped:
        kept = sys.argv[1:2] in (["stage"], ["prefill"])  # other commands begin anew
        what = "; what was finished is kept, the same command goes on from there" if kept else ""
        print(f"lossatlas: stopped by {stopped.signal}{what}", file=sys.stderr, flush=True)
        raise
