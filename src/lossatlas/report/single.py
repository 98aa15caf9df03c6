"""A picture of one result, for whoever holds it in Python."""

from __future__ import annotations

from matplotlib.figure import Figure

from lossatlas.report.figures.contours import Panel, contour_figure
from lossatlas.report.figures.lines import LinePanel, line_figure
from lossatlas.report.figures.scale import loss_scale
from lossatlas.results import Line, Plane


def plot(result: Plane | Line, *, title: str = "") -> Figure:
    """Return a contour plot of a plane's training loss, or the losses and accuracies along a line.

    Args:
        result: what `lossatlas.plane` or `lossatlas.line` returned.
        title: a headline.
    """
    if isinstance(result, Line):
        return line_figure([LinePanel(title, "", result)])
    return contour_figure([[Panel(title, "", result)]], scale=loss_scale([result]))
