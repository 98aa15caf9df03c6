"""The commands that compute: one stage, or all of them ahead of DVC."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from difflib import get_close_matches
from functools import partial
from typing import Annotated

import typer

from lossatlas.cli.dry import show_estimate
from lossatlas.cli.output import AsJson, DryRun, Output, Quiet
from lossatlas.cli.program import app, examples, one_line_errors, workspace
from lossatlas.progress import progress
from lossatlas.settings import Params
from lossatlas.stages.runner import Outcome
from lossatlas.stages.task import Key

Overrides = Annotated[
    list[str] | None, typer.Argument(help="where to compute, for example executor=dask executor.workers=4")
]


@app.command(
    short_help="complete and publish a stage",
    epilog=examples("lossatlas stage train vgg9", "lossatlas stage plane --dry-run", "lossatlas stage plan"),
)
def stage(
    kind: Annotated[str, typer.Argument(help="plan, data, train, plane, hessian, ... (see dvc.yaml)")],
    name: Annotated[
        str | None, typer.Argument(help="the stage's name in params.yaml; without one every study of the kind")
    ] = None,
    executor: Overrides = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Complete one stage, or all studies of a kind, and publish the output (what dvc.yaml calls)."""
    # a task computes with one thread, whoever runs it
    os.environ["OMP_NUM_THREADS"] = "1"
    from lossatlas.cluster import points_executor
    from lossatlas.config import load_params
    from lossatlas.stages.chosen_executor import with_executor
    from lossatlas.stages.plan import SHOWN
    from lossatlas.stages.planned import require_planned, write_planned
    from lossatlas.stages.runner import Runner

    output = Output(quiet, as_json)
    if name and "=" in name:  # no stage is called so: every study of the kind, computed there
        executor, name = [name, *(executor or [])], None
    with one_line_errors():
        place = workspace()
        params = load_params(place)
        _require_kind(kind)
        if dry_run:
            show_estimate(place, with_executor(place, params, executor or []), _keys(params, kind, name), output)
            return
        if kind == "plan":
            written = write_planned(place, params).relative_to(place.root)
            output.say(f"plan: {written} written")
            output.data({"plan": str(written)})
            return
        if "DVC_STAGE" in os.environ:  # DVC records the plan as what the output was made from
            require_planned(place, params, kind, name)
        params = with_executor(place, params, executor or [])
        with points_executor(params.executor, chosen=bool(executor)) as points:
            runner = Runner(place, params, executor=points)
            outcomes = [runner.publish((kind, name or "all"))] if name or kind in SHOWN else runner.publish_all(kind)
    for outcome in outcomes:
        what = f"computed in {outcome.seconds:.1f} s" if outcome.computed else "finished before"
        output.say(f"{kind} {outcome.key[1]}: {what}, published ({outcome.stage_hash[:12]})")
    output.data([_record(outcome) for outcome in outcomes])


def _require_kind(kind: str) -> None:
    """Refuse kinds of stages that there are not.

    Raises:
        UnknownStageError: there is no such kind.
    """
    from lossatlas.stages.plan import KINDS, UnknownStageError

    kinds = ("plan", *KINDS)
    if kind not in kinds:
        near = get_close_matches(kind, kinds, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownStageError(f"there is no kind of stage {kind!r}; {hint}kinds: {', '.join(kinds)}")


def _keys(params: Params, kind: str, name: str | None) -> list[Key]:
    """Return the stages of a kind, or the one of that name.

    Raises:
        UnknownStageError: the settings have none of them.
    """
    from lossatlas.stages.plan import KINDS, UnknownStageError, stage_keys

    found = [key for key in stage_keys(params) if key[0] == kind and name in (None, key[1])]
    if not found:
        wanted = f"{kind} {name or ''}".strip()
        kinds = ", ".join(KINDS)
        raise UnknownStageError(f"preset {params.preset} has no stage {wanted}; kinds: {kinds}; names: see params.yaml")
    return found


def _record(outcome: Outcome) -> dict[str, object]:
    kind, name = outcome.key
    return {**asdict(outcome), "key": f"{kind} {name}"}


@app.command(
    short_help="complete all stages in scratch, in parallel",
    epilog=examples(
        "lossatlas prefill",
        "lossatlas prefill --dry-run",
        "lossatlas prefill executor=dask executor.workers=4",
        "lossatlas prefill --json > prefill.json",
    ),
)
def prefill(executor: Overrides = None, dry_run: DryRun = False, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Complete all stages in scratch, in parallel; `dvc repro` then only publishes."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from lossatlas.cluster import open_executor
    from lossatlas.config import load_params
    from lossatlas.engine.executors import width
    from lossatlas.stages.chosen_executor import with_executor
    from lossatlas.stages.plan import stage_keys
    from lossatlas.stages.planned import write_planned
    from lossatlas.stages.prefill import prefill as complete
    from lossatlas.stages.prune import prune

    output = Output(quiet, as_json)

    def tell(what: Outcome | str, advance: Callable[[int], None]) -> None:
        advance(1)
        if isinstance(what, str):
            print(what, file=sys.stderr)
        elif what.computed:
            wipe = "\r\033[K" if sys.stdout.isatty() else ""  # a worker's progress bar may stand here
            output.say(f"{wipe}{what.key[0]} {what.key[1]}: computed in {what.seconds:.1f} s")

    with one_line_errors():
        place = workspace()
        params = load_params(place)
        chosen, keys = with_executor(place, params, executor or []), list(stage_keys(params))
        if dry_run:
            show_estimate(place, chosen, keys, output)
            return
        write_planned(place, params)  # library versions and images too, which DVC does not watch
        with (
            open_executor(chosen.executor) as workers,
            progress("all", len(keys), unit="stages", row=width(workers)) as on,
        ):
            summary = complete(place, chosen, workers, tell=partial(tell, advance=on))
        for path in prune(place, params):
            output.say(f"removed {path.relative_to(place.root)}: {path.stem} is not in params.yaml")
    reused = sum(not outcome.computed for outcome in summary.outcomes)
    output.say(f"{len(summary.outcomes)} stages complete ({reused} before), {len(summary.failures)} failed")
    output.data(
        {
            "complete": [_record(outcome) for outcome in summary.outcomes],
            "failed": {" ".join(key): reason for key, reason in summary.failures.items()},
            "not_begun": [" ".join(key) for key in summary.blocked],
        }
    )
    if summary.blocked:
        print(f"not begun, for want of those: {', '.join(' '.join(key) for key in summary.blocked)}", file=sys.stderr)
    if summary.failures:
        raise typer.Exit(1)
