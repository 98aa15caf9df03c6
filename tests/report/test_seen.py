"""What stands under a figure is true of the results that are drawn."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_modes import modes_results
from synthetic_report import make_history, make_plane

from lossatlas.report.artefacts import Cut, Results
from lossatlas.report.figures.gallery import Drawing, draw_gallery
from lossatlas.report.figures.reading import READINGS, SEEN, reading
from lossatlas.report.figures.seen import final_norms, line_minima, lowest_points
from lossatlas.report.targets import Targets
from lossatlas.results import Floats, Line

UNTRUE_SOMEWHERE = (
    "right angles",
    "true distances",
    "The lowest point is",
    "is lowest, at 0 and at 1",
    "for that alone. With",
)


def line(lowest: float, *, end: float = 1.0) -> Line:
    alpha = np.linspace(-0.5, end, 31)
    loss: Floats = 0.1 + (alpha - lowest) ** 2
    return Line(alpha, loss, 1 - loss / 10, loss, 1 - loss / 10, np.ones(alpha.shape, dtype=bool))


def redrawn(results: Results, targets: Targets, name: str) -> Drawing:
    return next(iter(draw_gallery(results, targets, only=[name])))


def test_a_surface_that_is_lower_elsewhere_is_not_called_lowest_at_the_network() -> None:
    centred, beside = make_plane(loss=lambda x, y: 1 + x**2 + y**2), make_plane(loss=lambda x, y: 3 + x + y**2)
    assert lowest_points([centred, beside]).startswith("On 1 of 2 surfaces")
    assert lowest_points([beside]).startswith("On 0 of 1 surfaces")
    assert lowest_points([]) == ""


def test_a_plane_without_its_centre_or_its_loss_is_not_lowest_there() -> None:
    even = make_plane(10, 9, loss=lambda x, y: 1 + x**2 + y**2)  # an even number of points leaves out 0
    hole = make_plane(loss=lambda x, y: np.where((x == 0) & (y == 0), np.nan, 1 + x**2 + y**2))
    assert lowest_points([even, hole]).startswith("On 0 of 2 surfaces")
    assert lowest_points([make_plane(loss=lambda x, y: np.nan * (x + y))]) == ""


def test_the_first_figure_counts_the_surfaces_drawn(results: Results, targets: Targets) -> None:
    how = redrawn(results, targets, "figure-1").how
    found = re.search(r"On (\d) of (\d) surfaces", how)
    assert found
    runs = ("resnet56", "resnet56_noshort")
    planes = [surface.plane for run in runs if (surface := results.planes[run]).plane is not None]
    assert found[0] in lowest_points(plane for plane in planes if plane)
    assert int(found[2]) == len(planes)


def test_lines_say_where_they_are_lowest_wherever_that_is(results: Results, targets: Targets) -> None:
    assert "lowest at 0.4 and −0.1." in line_minima([line(0.4), None, line(-0.1, end=1.5)])
    assert line_minima([None]) == ""
    cut = {"vgg9_interpolation": Cut("vgg9_interpolation", {"run": "vgg9", "status": "finished"}, line(0.4))}
    drawn = redrawn(replace(results, lines=cut), targets, "figure-2")
    assert "lowest at 0.4." in drawn.how
    assert "lowest" not in redrawn(results, targets, "figure-2").how


def test_norms_are_those_of_the_histories_in_their_order() -> None:
    small, large = (replace(make_history(), weight_norm=np.linspace(9, end, 13)) for end in (12.5, 8.25))
    assert final_norms([("weight decay 0", (small, large))]).endswith("12.5 and 8.25 with weight decay 0. ")
    assert final_norms([("weight decay 0", (large, small))]).endswith("8.25 and 12.5 with weight decay 0. ")
    assert final_norms([("weight decay 0", (small, None))]) == ""


@pytest.mark.parametrize("started", [True, False])
def test_a_square_is_named_only_where_one_is_drawn(targets: Targets, started: bool) -> None:
    results = modes_results()
    planes = {
        name: replace(found, info=_without_start(dict(found.info), started)) for name, found in results.planes3.items()
    }
    drawing = redrawn(replace(results, planes3=planes), targets, "sse-trajectory")
    squares = [mark for axes in drawing.figure.axes for mark in axes.lines if mark.get_marker() == "s"]
    assert bool(squares) is started
    assert ("square" in drawing.how) is started


def _without_start(info: dict[str, object], started: bool) -> dict[str, object]:
    path = info.get("path")
    if started or not isinstance(path, dict):
        return info
    keep = [i for i, label in enumerate(path["labels"]) if str(label).rpartition(" ")[2] != "0"]
    return info | {"path": path | {name: [path[name][i] for i in keep] for name in ("x", "y", "labels")}}


@pytest.mark.parametrize("identifier", list(READINGS))
def test_without_results_no_sentence_states_one(identifier: str, results: Results) -> None:
    found = reading(identifier, replace(results, runs={}), runs=[])
    for text in (found.how, found.limits):
        assert "{" not in text and "  " not in text
        assert not any(phrase in text for phrase in UNTRUE_SOMEWHERE)


def test_every_brace_is_filled_by_some_figure(results: Results) -> None:
    for name in SEEN:
        texts = [reading(key, results, runs=[], seen={name: "FILLED "}) for key in READINGS]
        assert any("FILLED" in found.how + found.limits for found in texts), name
