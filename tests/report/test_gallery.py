from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from synthetic_report import changed, make_history, make_plane

from lossatlas.report.artefacts import Cut, Results
from lossatlas.report.figures.axes import percent_axis
from lossatlas.report.figures.curves import Curve, convergence_figure
from lossatlas.report.figures.gallery import Drawing, draw_gallery
from lossatlas.report.figures.style import png
from lossatlas.report.targets import Targets
from lossatlas.results import Line

PAPER = [f"figure-{i}" for i in range(1, 20)]
ALWAYS = [*PAPER[:1], "figure-1-linear", *PAPER[1:]]
ALWAYS += ["scale-invariance", "projected-curvature", "sharpness", "trainability"]
MODES = ["garipov-figure-1", "garipov-figure-1-test", "garipov-figure-2", "fge-cycles"]
MODES += ["sse-trajectory", "schedules", "ensemble-size"]
ALWAYS += MODES


def gallery(results: Results, targets: Targets, *only: str) -> dict[str, Drawing]:
    return {drawing.id: drawing for drawing in draw_gallery(results, targets, only=only or None)}


def words(drawing: Drawing) -> str:
    found = [text for axes in drawing.figure.axes for text in (*axes.texts, axes.title)]
    found += drawing.figure.texts
    legends = [axes.get_legend() for axes in drawing.figure.axes if axes.get_legend()]
    return "\n".join(text.get_text() for text in [*found, *(t for item in legends for t in item.get_texts())])


def test_every_figure_of_the_paper_is_there_in_order(results: Results, targets: Targets) -> None:
    drawn = gallery(results, targets)
    assert list(drawn) == ALWAYS
    assert [drawn[name].paper for name in PAPER] == [f"Figure {i}" for i in range(1, 20)]
    assert drawn["figure-1-linear"].paper == "Figure 1"
    assert not drawn["sharpness"].paper
    papers = [drawn[name].paper for name in MODES]
    theirs = [f"Figure {i} of Garipov et al. 2018" for i in (1, 1, 2, 3)]
    assert papers == [*theirs, "", "", ""]  # told apart from the figures of Li et al. of the same numbers


def test_panels_show_ours_beside_the_published_error(results: Results, targets: Targets) -> None:
    drawn = gallery(results, targets, "figure-5", "figure-6")
    five = words(drawn["figure-5"])
    assert "8.00 %   (published 7.37 %)" in five
    assert "not run   (published 5.79 %)" in five  # resnet110 was planned, nothing came
    assert "diverged   (published 16.44 %)" in five
    six = words(drawn["figure-6"])
    assert "not run   (published 5.07 %†)" in six
    assert "† known from" in drawn["figure-6"].caption
    assert "† known from" not in drawn["figure-5"].caption


def test_the_dagger_is_explained_where_a_figure_shows_it(results: Results, targets: Targets) -> None:
    for drawing in gallery(results, targets).values():
        assert ("†" in words(drawing)) == ("† known from" in drawing.caption), drawing.id
    adam = changed(results, "vgg9", train={**results.runs["vgg9"].train, "optimizer": "adam"})
    drawn = gallery(adam, targets, "figure-3", "figure-18")
    for name in ("figure-3", "figure-18"):
        assert "7.80 %†" in words(drawn[name])
        assert "† known from" in drawn[name].caption


def test_curves_are_of_clean_images(results: Results, targets: Targets) -> None:
    drawn = gallery(results, targets, "figure-18", "figure-19")
    for name in ("figure-18", "figure-19"):
        assert "evaluated on clean images (no augmentation)" in drawn[name].caption


def test_only_a_plane_of_no_numbered_figure_is_a_further_surface(results: Results, targets: Targets) -> None:
    assert not gallery(results, targets, "further-surfaces")
    surface = replace(results.planes["vgg9"], name="vgg16")
    more = replace(
        results,
        planned_planes={**results.planned_planes, "vgg16": "vgg16"},
        planes={**results.planes, "vgg16": surface},
    )
    further = words(gallery(more, targets, "further-surfaces")["further-surfaces"])
    assert "VGG-16" in further
    assert "VGG-9" not in further
    assert "ResNet-20" not in further


def test_captions_name_data_and_resolution(results: Results, targets: Targets) -> None:
    text = gallery(results, targets, "figure-5")["figure-5"].caption
    assert "11 × 9 or 15 × 15 points" in text
    assert "1,000 training images" in text
    assert "Our data: digits." in text


def test_nothing_run_still_gives_every_cell(results: Results, targets: Targets) -> None:
    empty = replace(
        results, data={}, planned_runs={}, planned_planes={}, planned_lines={}, runs={}, planes={}, lines={}
    )
    drawn = gallery(empty, targets)
    assert list(drawn) == ALWAYS
    for drawing in drawn.values():
        assert "not run" in words(drawing), drawing.id
    for name in ("figure-2", "figure-7", "figure-10", *MODES):
        png(drawn[name].figure)


def test_lines_and_further_runs_get_figures_of_their_own(results: Results, targets: Targets) -> None:
    alpha = np.linspace(-1, 1, 9)
    loss = 0.1 + alpha**2
    loss[0] = np.inf
    line = Line(alpha, loss, 1 - loss / 10, loss, 1 - loss / 10, np.ones(9, dtype=bool))
    more = replace(
        results,
        planned_lines={"resnet20": "resnet20", "resnet56": "resnet56"},
        lines={"resnet20": Cut("resnet20", {"reason": ""}, line)},
        planned_runs={**results.planned_runs, "mine": {"data": "digits", "title": "My own network"}},
    )
    drawn = gallery(more, targets, "further-lines", "further-convergence")
    assert "My own network" in words(drawn["further-convergence"])
    assert "not run" in words(drawn["further-lines"])
    for name in ("further-lines", "further-convergence"):
        png(drawn[name].figure)


def test_curves_are_in_their_panels() -> None:
    history = make_history()
    figure = convergence_figure({"ResNet": [Curve("a", history), Curve("b: not run", None)]})
    loss, error, legend = figure.axes
    assert [line.get_linestyle() for line in loss.lines] == ["-", "--"]
    assert np.array_equal(loss.lines[0].get_ydata(), history.train_loss)
    assert np.array_equal(error.lines[1].get_ydata(), history.test_error)
    assert [text.get_text() for text in legend.get_legend().get_texts()] == ["a", "b: not run"]
    assert png(figure) == png(convergence_figure({"ResNet": [Curve("a", history), Curve("b: not run", None)]}))


def test_a_diverged_run_is_drawn_as_far_as_it_went() -> None:
    figure = convergence_figure({"ResNet": [Curve("a: diverged", make_history(diverged=True))]})
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).any()
    png(figure)


def test_the_users_own_style_is_neither_used_nor_changed(results: Results, targets: Targets) -> None:
    first = png(gallery(results, targets, "figure-18")["figure-18"].figure)
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        assert png(gallery(results, targets, "figure-18")["figure-18"].figure) == first
        assert mpl.rcParams["font.size"] == 30.0


def test_a_second_plane_of_a_run_is_named(results: Results, targets: Targets) -> None:
    surface = replace(results.planes["resnet20"], name="resnet20_again", plane=make_plane(5, 5))
    more = replace(
        results,
        planned_planes={**results.planned_planes, "resnet20_again": "resnet20"},
        planes={**results.planes, "resnet20_again": surface},
    )
    assert "ResNet-20\nresnet20_again" in words(gallery(more, targets, "further-surfaces")["further-surfaces"])


def test_long_labels_are_folded_beside_the_curves() -> None:
    label = "PreResNet-164 (depth 20), snapshot cycles, seed 1:\n42.77 %"
    curves = [Curve(label, make_history())] * 5
    figure = convergence_figure({"VGG-16, cifar10": curves, "PreResNet-164, cifar10": curves})
    FigureCanvasAgg(figure).draw()
    upper, lower = (figure.axes[i].get_legend().get_window_extent() for i in (2, 5))
    assert max(upper.x1, lower.x1) <= figure.bbox.x1
    assert figure.bbox.y1 >= upper.y1 and upper.y0 >= lower.y1


def test_ticks_in_percent_are_told_apart() -> None:
    for low, high, logarithmic in ((0.409, 0.411, False), (0.0, 0.003, False), (0.2, 0.9, False), (0.001, 1.0, True)):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [low, high])
        if logarithmic:
            axes.set_yscale("log")
        percent_axis(axes.yaxis)
        FigureCanvasAgg(figure).draw()
        labels = [float(text.get_text().removesuffix(" %")) for text in axes.get_yticklabels()]
        assert labels == pytest.approx([100 * tick for tick in axes.get_yticks()], abs=1e-9)
