"""One logarithmic colour scale for every surface that may be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import Colormap, Normalize
from matplotlib.ticker import FixedLocator, FuncFormatter

from lossatlas.report.figures.style import MISSING
from lossatlas.results import Floats, Plane

CAP = 2.0  # log10 of the loss above which surfaces share one colour: chaotic ones reach 1e10 and more
DECADES = 5  # at most, below the highest level
PER_DECADE = 6
BANDS = 10  # at least, so that losses of one size are still told apart
NARROWEST = 0.3  # log10 of highest over lowest level, at least: a factor of two
STEPS = {  # ticks of every decade, where there are at most so many decades
    0.5: (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    1.0: (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    2.0: (1.0, 2.0, 5.0),
    4.0: (1.0, 3.0),
}
Extend = Literal["neither", "min", "max", "both"]
Masked = np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class LossScale:
    """Levels and colours from `low` to `high`, both log10 of a loss in nats; `extend` says where losses lie beyond."""

    low: float
    high: float
    extend: Extend = "neither"

    @cached_property
    def norm(self) -> Normalize:
        """The one norm that every panel uses."""
        return Normalize(self.low, self.high)

    @cached_property
    def levels(self) -> npt.NDArray[np.float64]:
        """The contour levels, evenly spaced in log10."""
        return np.linspace(self.low, self.high, max(round((self.high - self.low) * PER_DECADE), BANDS) + 1)

    @cached_property
    def colours(self) -> Colormap:
        """The colour map: viridis, readable with any colour vision and in grey; beyond the cap a pale tone."""
        colours = mpl.colormaps["viridis"].with_extremes(over="#fffbd6", under="#2b0038", bad=MISSING)
        return colours

    @property
    def ticks(self) -> FixedLocator:
        """Ticks of the colour bar: whole decades, and steps between them where there are few."""
        steps = next((steps for widest, steps in STEPS.items() if self.high - self.low <= widest), (1.0,))
        decades = range(int(np.floor(self.low)), int(np.ceil(self.high)) + 1)
        values = [np.log10(step) + decade for decade in decades for step in steps]
        return FixedLocator([value for value in values if self.low - 1e-9 <= value <= self.high + 1e-9])

    @property
    def labels(self) -> FuncFormatter:
        """Labels of ticks in log10: the loss itself."""
        return FuncFormatter(lambda value, _: f"{10**value:.3g}")


def log_loss(losses: Floats, *, scale: LossScale) -> Masked:
    """Return log10 of losses for drawing; NaN and infinite ones are masked, zeros are drawn at the lowest level."""
    drawable = np.isfinite(losses)
    safe = np.where(drawable, np.maximum(losses, 10**scale.low), 1.0)
    logs: Masked = np.ma.masked_array(np.log10(safe), mask=~drawable)
    return logs


@dataclass(frozen=True)
class ErrorScale(LossScale):
    """The same for errors: log10 of a fraction, labelled in percent, in other colours than losses."""

    @cached_property
    def colours(self) -> Colormap:
        """The colour map: cividis, made for readers who do not tell red from green."""
        return mpl.colormaps["cividis"].with_extremes(over="#fffbd6", under="#00112e", bad=MISSING)

    @property
    def labels(self) -> FuncFormatter:
        """Labels of ticks in log10: the error in percent."""
        return FuncFormatter(lambda value, _: f"{100 * 10**value:.3g} %")


def loss_scale(planes: Iterable[Plane]) -> LossScale:
    """Return the scale that covers the training losses of all `planes`, capped at both ends."""
    return LossScale(*_ends((plane.train_loss for plane in planes), cap=CAP))


def losses_scale(planes: Iterable[Plane]) -> LossScale:
    """Return the scale that covers the training and the test losses of all `planes`, capped at both ends."""
    return LossScale(*_ends((losses for plane in planes for losses in (plane.train_loss, plane.test_loss)), cap=CAP))


def error_scale(planes: Iterable[Plane]) -> ErrorScale:
    """Return the scale that covers the training and the test errors of all `planes`."""
    shares = (share for plane in planes for share in (plane.train_accuracy, plane.test_accuracy))
    return ErrorScale(*_ends((error(share) for share in shares), cap=0.0))


def error(accuracy: Floats) -> Floats:
    """Return errors, as fractions: exactly 0 where nothing is wrong, so that rounding sets no level."""
    return np.round(1 - accuracy, 9)


def _ends(arrays: Iterable[Floats], *, cap: float) -> tuple[float, float, Extend]:
    """Return log10 of the lowest and the highest level that cover positive values, and where some lie beyond."""
    values = np.concatenate([*(array[np.isfinite(array) & (array > 0)] for array in arrays), np.empty(0)])
    if values.size == 0:
        return cap - 3, cap - 1, "neither"
    logs = np.log10(values)
    parts = 2 if np.ptp(logs) > 1 else 10  # of a decade, to which the ends are rounded
    high = float(min(np.ceil(parts * logs.max()) / parts, cap))
    low = float(max(np.floor(parts * logs.min()) / parts, high - DECADES))
    low = min(low, high - NARROWEST)
    beyond = (bool(logs.min() < low), bool(logs.max() > high))
    names: dict[tuple[bool, bool], Extend] = {
        (False, False): "neither",
        (True, False): "min",
        (False, True): "max",
        (True, True): "both",
    }
    return low, high, names[beyond]
