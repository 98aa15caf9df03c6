"""A picture of one result, for whoever holds it in Python."""

from __future__ import annotations

from matplotlib.figure import Figure

from lossatlas.report.figures.alone import along_figure, surface_figure
from lossatlas.report.figures.eigenvalues import EigenvaluePanel, eigenvalue_figure
from lossatlas.results import HessianMap, Line, Plane


def plot(result: Plane | Line | HessianMap, *, title: str = "") -> Figure:
    """Return contours of a plane's training loss, losses and accuracies along a line, or a map of a Hessian's ends.

    Levels and axes are fitted to the result; the report's figures share theirs between networks.

    Args:
        result: what `lossatlas.plane`, `lossatlas.line` or `lossatlas.hessian_map` returned.
        title: a headline.
    """
    if isinstance(result, HessianMap):
        return eigenvalue_figure([EigenvaluePanel(title, "", result)])
    return along_figure(result, title=title) if isinstance(result, Line) else surface_figure(result, title=title)
