"""The program that the commands belong to: its help, its exit codes and how it ends on an error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lossatlas.paths import Workspace, find_workspace

# what wrong use raises: Typer does not export the class
ERRORS: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
ORDER = (
    *("compose", "prefill", "stage", "check", "track", "ui", "times", "export", "animate", "plane", "line", "hessian"),
    *("pack", "adopt", "doctor"),
)
EXIT_CODES = """\b
Exit codes:
  0    all is well
  1    a check, a stage or the installation fails; what and why is printed
  2    wrong arguments or settings, a missing or damaged file: one line
  130  stopped by Ctrl-C (143: by SIGTERM)
"""


class OneLineGroup(TyperGroup):
    """Commands whose wrong use ends with one line and exit code 2; without a command they show the help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which a user needs them."""
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and end the process; `prog_name` is what the file is called, which errors do not repeat."""
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(words, "lossatlas", complete_var, False, windows_expand_args, **extra)
        except ERRORS as error:
            context = getattr(error, "ctx", None)
            where = f" (see {context.command_path} --help)" if context else ""
            print(f"lossatlas: {' '.join(_message(error).split())}{where}", file=sys.stderr)
            code = 2
        sys.exit(code if isinstance(code, int) else 0)


def _message(error: BaseException) -> str:
    describe = getattr(error, "format_message", None)
    return str(describe() if describe else error)


app = typer.Typer(
    cls=OneLineGroup,
    help="Train networks, map the geometry of their losses, and compare with the papers.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no colours in files, whatever the environment asks for
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"lossatlas {version('lossatlas')}")
        raise typer.Exit()


@app.callback()
def _program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Train networks, map the geometry of their losses, and compare with the papers."""


def examples(*lines: str) -> str:
    """Return the end of a command's help: command lines that work as they stand."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one line and exit code 2 for errors that the user can mend."""
    from lossatlas.closure import SourceChangedError
    from lossatlas.tracking.errors import TrackingError

    try:
        yield
    except (ValueError, OSError, SourceChangedError, TrackingError) as error:
        print(f"lossatlas: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def workspace() -> Workspace:
    """Return the checkout that the present folder belongs to."""
    return find_workspace()
