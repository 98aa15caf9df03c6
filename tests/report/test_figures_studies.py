"""Every figure of Li et al. drawn from synthetic results of every study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from synthetic_studies import ABSENT, BROKEN, study_results
from test_gallery import ALWAYS, Drawing, gallery, words

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Results
from lossatlas.report.figures.style import png
from lossatlas.report.targets import load_targets


@pytest.fixture(scope="module")
def made_up() -> Results:
    return study_results()


@pytest.fixture(scope="module")
def drawn(made_up: Results) -> dict[str, Drawing]:
    return gallery(made_up, load_targets())


def headed(drawing: Drawing, title: str) -> list[Axes]:
    return [axes for axes in drawing.figure.axes if axes.get_title() == title]


def below(axes: Axes) -> str:
    return " ".join(text.get_text() for text in axes.texts)


def test_further_figures_hold_what_is_left(drawn: dict[str, Drawing]) -> None:
    assert list(drawn) == [*ALWAYS, "further-surfaces", "further-convergence"]
    left = words(drawn["further-convergence"])
    assert "VGG-16" in left
    assert "mine:\nnot run" in left
    assert "Adam, batch 168, decay 0.0005:" in left
    for shown in ("VGG-9", "ResNet-20", "ResNet-158"):
        assert shown not in left
    assert "ResNet-56-noshort, low rate" in words(drawn["further-surfaces"])


@pytest.mark.parametrize("name", ["figure-9", "figure-11", "figure-12", "figure-13"])
def test_cells_that_were_not_run_or_diverged_stay(drawn: dict[str, Drawing], name: str) -> None:
    text = words(drawn[name])
    assert "not run   (published 9.52 %†)" in text
    assert "diverged   (published 10.91 %†)" in text
    empty = [axes for axes in drawn[name].figure.axes if below(axes).endswith(("diverged", "not run"))]
    assert len(empty) == 2


def test_the_eight_minimizers_stand_in_the_papers_order(drawn: dict[str, Drawing]) -> None:
    figure = drawn["figure-15"]
    panels = [axes for axes in figure.figure.axes if axes.get_title()]
    published = ["8.26", "13.93", "9.55", "14.30", "5.89", "10.59", "7.67", "12.36"]
    assert [below(axes).split("published ")[1].split(" %")[0] for axes in panels] == published
    assert below(panels[0]).endswith("weight decay 0")
    assert below(panels[4]).endswith("weight decay 0.0005")


def test_batch_sizes_stand_beside_the_papers(drawn: dict[str, Drawing]) -> None:
    text = drawn["figure-3"].caption
    assert "12 epochs with batches of 16 and 168 images; in the paper 300 epochs and 128 and 8,192 images" in text
    assert "in the paper 300 epochs and 128 and 4,096 images" in drawn["figure-14"].caption
    assert "in the paper 300 epochs and 128 images" in drawn["figure-5"].caption
    assert "batch 168" in words(drawn["figure-3"])


@pytest.mark.parametrize("name", ["figure-3", "figure-11", "figure-12", "figure-14", "figure-16"])
def test_profiles_of_a_figure_share_their_axes(drawn: dict[str, Drawing], name: str) -> None:
    losses = [axes for axes in drawn[name].figure.axes if axes.get_yscale() == "log" and axes.lines]
    assert len(losses) >= 4
    assert len({axes.get_ylim() for axes in losses}) == 1


def test_every_direction_is_drawn_where_they_are_compared(drawn: dict[str, Drawing]) -> None:
    first = headed(drawn["figure-16"], "weight decay 0,\nbatch 16")[0]
    assert len(first.lines) == 2 * 10
    assert "10 directions per minimizer" in drawn["figure-16"].caption
    assert len(headed(drawn["figure-3"], "weight decay 0,\nbatch 16")[0].lines) == 2


def test_figure_12_is_narrower_than_figure_11(drawn: dict[str, Drawing]) -> None:
    wide, narrow = (headed(drawn[name], "SGD, batch 16")[0].get_xlim() for name in ("figure-11", "figure-12"))
    assert wide == (-1, 1)
    assert narrow == (-0.1, 0.1)


def test_planes_of_figure_17_are_different_ones(made_up: Results, drawn: dict[str, Drawing]) -> None:
    assert [axes.get_title() for axes in drawn["figure-17"].figure.axes if axes.get_title()] == [
        f"directions {i}" for i in (1, 2, 3, 4)
    ]
    assert "not run" in words(drawn["figure-17"])  # the fourth
    one, two = (made_up.planes[name].plane for name in catalogue.FIGURE17[:2])
    assert one is not None
    assert two is not None
    assert not np.array_equal(one.train_loss, two.train_loss)


def test_a_skipped_cell_says_why(made_up: Results) -> None:
    info = {"run": "resnet56", "reason": "too large"}
    skipped = replace(made_up.hessians["resnet56"], info=info, map=None)
    again = gallery(replace(made_up, hessians={"resnet56": skipped}), load_targets(), "figure-7")
    assert "skipped:\ntoo large" in words(again["figure-7"])


def test_the_account_of_the_map_names_points_that_did_not_converge(made_up: Results, drawn: dict[str, Drawing]) -> None:
    found = made_up.hessians["resnet56"].map
    assert found is not None
    missed = 2 * int((~found.converged).sum())
    assert f"{missed} hatched points" in drawn["figure-7"].caption


def test_synthetic_results_have_every_kind_of_cell(made_up: Results) -> None:
    assert made_up.runs[BROKEN].diverged
    assert not set(ABSENT) & set(made_up.runs)


def test_repeats_of_a_run_are_told_apart(made_up: Results) -> None:
    plans = {name: {"data": "digits", "title": "VGG-9"} for name in ("vgg9_seed1", "vgg9_seed2", "vgg16")}
    results = replace(made_up, planned_runs=plans)
    drawing = gallery(results, load_targets(), "further-convergence")["further-convergence"]
    assert "VGG-9, vgg9_seed1:\nnot run" in words(drawing)
    assert "VGG-9, vgg9_seed2:\nnot run" in words(drawing)
    legends = [legend for axes in drawing.figure.axes if (legend := axes.get_legend())]
    assert [legend.get_title().get_text() for legend in legends] == ["VGG-9, digits", "digits"]


@pytest.mark.parametrize("name", ["figure-7", "figure-8", "scale-invariance"])
def test_one_figure_has_one_sequence_of_bytes(made_up: Results, drawn: dict[str, Drawing], name: str) -> None:
    again = gallery(made_up, load_targets(), name)
    assert png(drawn[name].figure) == png(again[name].figure)


def test_an_unknown_figure_is_an_error(made_up: Results) -> None:
    with pytest.raises(ValueError, match=r"figure-20: no such figure; known: figure-1, "):
        gallery(made_up, load_targets(), "figure-20")


def test_sharpness_says_which_way_is_sharper(drawn: dict[str, Drawing]) -> None:
    curvature = headed(drawn["sharpness"], "curvature at the centre")[0]
    assert curvature.get_xlabel() == "nats per squared multiple of the direction (sharper →)"
    assert below(curvature) == "ρ = +0.81, 33 runs, p = 0.002"
    assert len(curvature.lines) == 33
