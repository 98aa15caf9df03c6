"""Typography, colours and byte-stable PNGs, the same for every figure and without global state."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

P = ParamSpec("P")

INK = "#222222"
QUIET = "#6b6b6b"
MISSING = "#bdbdbd"  # no value: not computed, not a number or infinite
RED = "#b2182b"
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")  # Okabe and Ito
DPI = 120
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 10.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "figure.facecolor": "white",
    "axes.unicode_minus": True,
}


@contextmanager
def _house_style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # its keys are literals there
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let `draw` make its figure in the house style, whatever the user's own matplotlib settings are."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _house_style():
            return draw(*args, **kwargs)

    return wrapper


def png(figure: Figure) -> bytes:
    """Return a figure as PNG of 256 colours; equal figures give equal bytes (no time, no program version inside)."""
    from PIL import Image

    with _house_style():
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(DPI)
        canvas.draw()  # type: ignore[no-untyped-call]
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    # flat colours: a palette of their own is a quarter of the size and looks the same
    colours = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    colours.save(buffer, "PNG", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return a figure that was drawn as PNG before as SVG, its text as outlines; equal figures give equal bytes."""
    with _house_style(), mpl.rc_context({"svg.hashsalt": "lossatlas", "svg.fonttype": "path"}):
        figure.set_layout_engine("none")  # what was arranged for the PNG stays where it is
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def headline(axes: Axes, title: str, subtitle: str) -> None:
    """Write a panel's name in bold and lines of numbers below it, above the axes."""
    # the outer line is the title: what makes room above the axes is titles
    pad = 6 + 16 * len(subtitle.splitlines())
    axes.set_title(title, fontsize=12, fontweight="bold", color=INK, pad=pad)
    axes.annotate(
        subtitle,
        xy=(0.5, 1.0),
        xycoords="axes fraction",
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=10.5,
        color=INK,
    )


def panels_width(columns: int) -> float:
    """Return the width in inches of a figure with some columns of curves; a page would blow up a narrow one."""
    return max(4.0 * columns + 0.4, 8.8)


def level(subtitles: Sequence[str]) -> list[str]:
    """Return subtitles with blank lines above, so that the titles over panels side by side stand at one height."""
    lines = max((len(text.splitlines()) for text in subtitles), default=0)
    return ["\n".join([*[" "] * (lines - len(text.splitlines())), *text.splitlines()]) for text in subtitles]


def headlines(titles: Sequence[str], subtitles: Sequence[str], width: int = 42) -> list[tuple[str, str]]:
    """Return the name in bold and the lines below it of panels side by side, all names at one height.

    Args:
        titles: networks' names; what is said of one in parentheses stands below it, plain, which leaves it more room.
        subtitles: lines of numbers, below that.
        width: letters of a plain line.
    """
    parts = [title.partition(" (") for title in titles]
    names = [folded(name, 34) for name, _, _ in parts]
    said = [folded(bracket.lstrip() + rest, width) for _, bracket, rest in parts]
    numbers = level(subtitles)
    below = ["\n".join(lines) for lines in zip(_filled(said), numbers, strict=True)] if any(said) else numbers
    return list(zip(_filled(names), [text.rstrip("\n") for text in below], strict=True))


def _filled(texts: Sequence[str]) -> list[str]:
    """Return texts with blank lines below, so that all have as many lines."""
    most = max((len(text.splitlines()) for text in texts), default=0)
    return ["\n".join([*text.splitlines(), *[" "] * (most - len(text.splitlines()))]) for text in texts]


def network_lines(title: str, width: int = 34) -> str:
    """Break the name of a network before what is said of it in parentheses, and lines that are too long."""
    return folded(title.replace(" (", "\n("), width)


def folded(title: str, width: int = 30) -> str:
    """Break lines of a title that are longer than a panel of contours is wide."""
    return "\n".join(textwrap.fill(line, width) for line in title.splitlines())


def empty_cell(axes: Axes, text: str) -> None:
    """Leave an empty frame with `text` in the middle: what was not run stays visible."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_linestyle((0, (4, 3)))
    lines = "\n".join(textwrap.fill(line, 26) for line in text.splitlines())
    axes.text(0.5, 0.5, lines, transform=axes.transAxes, ha="center", va="center", fontsize=12, color=QUIET)
