"""Sentences about what a picture shows, each computed from what is drawn; empty where nothing was computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lossatlas.report.figures.axes import plain_number
from lossatlas.results import History, Line, Plane


def lowest_points(planes: Iterable[Plane]) -> str:
    """Return on how many planes about trained weights no drawn point has a lower training loss than those weights."""
    found = [_lowest_at_centre(plane) for plane in planes if np.isfinite(plane.train_loss).any()]
    if not found:
        return ""
    return f"On {sum(found)} of {len(found)} surfaces the lowest point drawn is the trained network. "


def _lowest_at_centre(plane: Plane) -> bool:
    i, j = (int(np.argmin(np.abs(axis))) for axis in (plane.x, plane.y))
    return bool(plane.x[i] == 0 and plane.y[j] == 0 and plane.train_loss[i, j] == np.nanmin(plane.train_loss))


def line_minima(lines: Iterable[Line | None]) -> str:
    """Return where on each line between two minimizers the training loss is lowest, in the order drawn."""
    found = [line for line in lines if line is not None and np.isfinite(line.train_loss).any()]
    places = [plain_number(float(f"{line.alpha[np.nanargmin(line.train_loss)]:.2g}")) for line in found]
    if not places:
        return ""
    named = f"{', '.join(places[:-1])} and {places[-1]}" if places[1:] else places[0]
    return f"In the order of the panels the training loss drawn is lowest at {named}. "


def final_norms(rows: Sequence[tuple[str, Sequence[History | None]]]) -> str:
    """Return the norms of the weights after training with a small and with a large batch, a row per weight decay."""
    texts = []
    for label, histories in rows:
        norms = [float(history.weight_norm[-1]) for history in histories if history is not None]
        if len(norms) == 2 and np.isfinite(norms).all():
            texts.append(f"{norms[0]:.3g} and {norms[1]:.3g} with {label}")
    if not texts:
        return ""
    return f"Norms after training with the small and the large batch: {'; '.join(texts)}. "
