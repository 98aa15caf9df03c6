"""What panels share: open frames, logarithmic axes with plain numbers, common limits and names of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, FuncFormatter, NullFormatter

from lossatlas.report.figures.style import INK

GRID = "#dddddd"


def open_frame(axes: Axes) -> None:
    """Draw a pale grid behind the curves and no frame at the top and on the right."""
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def plain_number(value: float, _position: float | None = None) -> str:
    """Label a tick with the number itself, without exponents where it is short."""
    text = f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:g}"
    return text.replace("-", "\N{MINUS SIGN}") if value < 0 else text


def percent_axis(axis: Axis) -> None:
    """Label fractions as percent, with all digits that the ticks have."""
    axis.set_major_formatter(_Percent())


class _Percent(Formatter):
    def __call__(self, value: float, pos: int | None = None) -> str:
        return f"{100 * value:.3g} %"

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        ticks = 100 * np.asarray(values, dtype=np.float64)
        decimals = next((d for d in range(6) if np.allclose(ticks, ticks.round(d), rtol=0, atol=1e-8)), 6)
        digits = [max(3, len(f"{abs(tick):.0f}") + decimals) for tick in ticks]
        return [f"{tick:.{n}g} %" for tick, n in zip(ticks, digits, strict=True)]


def drawable(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return values for a logarithmic axis: NaN where they are not finite or not positive."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(array) & (array > 0), array, np.nan)


def share_log(panels: Sequence[Axes], *, cap: float | None = None) -> None:
    """Give logarithmic vertical axes one range: that of all their lines, up to `cap`."""
    lines = [line for axes in panels for line in axes.lines if _follows_data(line)]
    found = np.concatenate([*(drawable(line.get_ydata()) for line in lines), np.empty(0)])
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.1, 10.0)
    high = high if cap is None else min(high, cap)
    low, high = min(low, high / 3) / 1.25, high * 1.25
    for axes in panels:
        axes.set_ylim(low, high)
        axes.set_yscale("log")
        label_log(axes.yaxis, low, high)


def _follows_data(line: Line2D) -> bool:
    """Whether both coordinates are data (a line across the whole panel has one in units of the panel)."""
    return line.get_transform().contains_branch_seperately(line.axes.transData) == (True, True)  # type: ignore[union-attr]


def label_log(axis: Axis, low: float, high: float) -> None:
    """Label decades with plain numbers, and 2 and 5 of each where there are few decades."""
    axis.set_major_formatter(FuncFormatter(plain_number))
    few = high < 30 * low
    axis.set_minor_formatter(FuncFormatter(_between_decades) if few else NullFormatter())


def _between_decades(value: float, _position: float) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def label_row(axes: Axes, label: str, *, gap: float = 64) -> None:
    """Name a row, in bold and upright, `gap` points left of its first panel."""
    axes.annotate(
        label,
        xy=(0, 0.5),
        xycoords="axes fraction",
        xytext=(-gap, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="center",
        fontsize=12,
        fontweight="bold",
        color=INK,
    )


def plain_ticks(axes: Axes) -> None:
    """Label both axes with plain numbers."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(plain_number))


def percent_log(axis: Axis) -> None:
    """Label fractions on a logarithmic axis as percent: decades, and 2 and 5 of each."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %" if f"{value:e}"[0] in "25" else ""))
