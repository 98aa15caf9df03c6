"""The commands that judge: results against the papers, an installation against what it needs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lossatlas.cli.output import AsJson, Output, Quiet, verdict
from lossatlas.cli.program import app, examples, one_line_errors, workspace


@app.command(
    short_help="verdicts: checks, published numbers, claims",
    epilog=examples(
        "lossatlas check",
        "lossatlas check reports/cifar-mini/modes",
        "lossatlas check --strict --json > verdicts.json",
    ),
)
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="a folder with a checks.json, such as reports/default (default: the present preset's)"),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="fail unless the protocol is the papers', all numbers come out, all claims hold"),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print the verdict of every check, published number and claim.

    Exit code 1 if a check fails, which under the exact protocol includes every published number that was run. Numbers
    of shortened runs are shown, not judged; claims of the papers may hold or not. With --strict all of them decide.
    """
    from lossatlas.config import load_params
    from lossatlas.report.account import read_account

    output = Output(quiet, as_json)
    with one_line_errors():
        if folder is None:
            place = workspace()
            folder = place.reports(load_params(place).preset)
        account = read_account(folder / "checks.json")
    for group, lines in account.lines().items():
        output.say(f"\n{group}" if group != "Checks" else group)
        for word, text in lines:
            output.say(f"  {verdict(word, 13)} {text}")
    output.say("\n" + account.summary())
    failures = account.failures(strict=strict)
    output.data({**account.record(), "strict": strict, "failures": failures})
    if failures and not as_json:
        kind = "--strict: " if strict else ""
        print(f"lossatlas: {kind}{len(failures)} not as they should be, first: {failures[0]}", file=sys.stderr)
    if failures:
        raise typer.Exit(1)


@app.command(
    short_help="look at this installation",
    epilog=examples("lossatlas doctor", "lossatlas doctor --quiet && make reproduce"),
)
def doctor(quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Look at this installation, a line per check with what to do; exit code 1 if there is a problem."""
    from lossatlas.doctor import examine

    output = Output(quiet, as_json)
    findings = []
    with one_line_errors():
        for finding in examine(workspace()):
            line = verdict(finding.verdict, 8) + str(finding)[8:]
            if quiet and finding.verdict == "problem":
                print(line, flush=True)
            output.say(line)
            findings.append(finding)
    output.data([asdict(finding) for finding in findings])
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(1)
