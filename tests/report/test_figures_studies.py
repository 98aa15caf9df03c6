"""Every figure of Li et al. drawn from synthetic results of every study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from synthetic_report import changed
from synthetic_studies import ABSENT, BROKEN, study_results
from test_gallery import ALWAYS, Drawing, gallery, words

from lossatlas.report import catalogue
from lossatlas.report.artefacts import Results
from lossatlas.report.figures import details
from lossatlas.report.figures.atlas import Atlas
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


def numbered(drawing: Drawing) -> list[str]:
    panels = [axes for axes in drawing.figure.axes if axes.get_title()]
    return [below(axes).split("published ")[1].split(" %")[0] for axes in panels]


def test_the_eight_minimizers_stand_in_the_papers_order(drawn: dict[str, Drawing]) -> None:
    figure = drawn["figure-15"]
    published = ["8.26", "13.93", "9.55", "14.30", "5.89", "10.59", "7.67", "12.36"]
    assert numbered(figure) == 2 * published
    panels = [axes for axes in figure.figure.axes if axes.get_title()]
    labels = [below(panels[i]) for i in (0, 4, 8, 12)]
    decays = ("weight decay 0", "weight decay 0.0005")
    ends = [f"{place},\n{decay}" for place in ("one direction", "plane") for decay in decays]
    assert [label.endswith(end) for label, end in zip(labels, ends, strict=True)] == [True] * 4


def test_figure_15_has_profiles_above_planes(made_up: Results, drawn: dict[str, Drawing]) -> None:
    panels = [axes for axes in drawn["figure-15"].figure.axes if axes.get_title()]
    for i, run in ((0, "resnet56_nowd"), (5, "resnet56_large")):
        profile = made_up.profiles[run].cuts["filter"]
        assert np.array_equal(panels[i].lines[0].get_ydata(), profile.train_loss[0])
        assert not any(isinstance(item, QuadContourSet) for item in panels[i].collections)
    for i, run in ((8, "resnet56_nowd"), (13, "resnet56_large")):
        plane = made_up.planes[run].plane
        assert plane is not None
        filled = next(item for item in panels[i].collections if isinstance(item, QuadContourSet) and item.filled)
        assert filled.zmin == pytest.approx(np.log10(plane.train_loss.min()))
        assert filled.zmax == pytest.approx(np.log10(plane.train_loss.max()))


def test_figure_14_is_the_line_between_small_and_large_batch(made_up: Results, drawn: dict[str, Drawing]) -> None:
    figure = drawn["figure-14"]
    panels = [axes for axes in figure.figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [
        f"{optimizer}, weight decay {decay}" for optimizer in ("SGD", "Adam") for decay in ("0", "0.0005")
    ]
    pairs = [[part.split(" %")[0] for part in below(axes).split("published ")[1:]] for axes in panels]
    assert pairs == [["8.26", "13.93"], ["5.89", "10.59"], ["9.55", "14.30"], ["7.67", "12.36"]]
    twins = [axes for axes in figure.figure.axes if axes.lines and axes.get_yscale() == "linear"]
    drawn_lines = {0: "resnet56_nowd_interpolation", 1: "resnet56_interpolation", 3: "resnet56_adam_interpolation"}
    assert len(twins) == len(drawn_lines)
    for (i, name), twin in zip(drawn_lines.items(), twins, strict=True):
        line = made_up.lines[name].line
        assert line is not None
        assert np.array_equal(panels[i].lines[0].get_ydata(), line.train_loss)
        assert np.array_equal(twin.lines[0].get_ydata(), 1 - line.train_accuracy)
    assert "not run" in below(panels[2])
    assert twins[-1].get_ylabel() == "error"
    left = [axes for axes in drawn["figure-2"].figure.axes if axes.get_ylabel() == "accuracy"]
    assert len(left) == 2  # that of Figure 2 stays


def test_lines_of_numbered_figures_are_no_further_lines(drawn: dict[str, Drawing]) -> None:
    assert "further-lines" not in drawn


@pytest.mark.parametrize(
    ("train", "flag"),
    [
        ({"optimizer": "adam"}, "in fact Adam"),
        ({"weight_decay": 1e-3}, "in fact weight decay 0.001"),
        ({"batch_size": 8192}, "in fact batch 8,192"),
        ({"batch_size": 100}, None),  # stands for the small batch
    ],
)
def test_a_run_trained_other_than_its_name_says_is_flagged(
    made_up: Results, train: dict[str, Any], flag: str | None
) -> None:
    results = changed(made_up, "vgg9", train={**made_up.runs["vgg9"].train, **train})
    atlas = Atlas(results, load_targets())
    assert atlas.title("vgg9") == ("VGG-9" if flag is None else f"VGG-9 ({flag})")
    # the weight decay is said beside the batch
    assert atlas.batch("vgg9") == f"batch {results.runs['vgg9'].train['batch_size']:,}" + (
        f" ({flag})" if flag and "batch" not in flag and "decay" not in flag else ""
    )
    assert ("(published 6.00 %)" in atlas.numbers("vgg9")) == (flag is None)


def test_the_weight_decay_is_the_one_that_was_used(made_up: Results) -> None:
    results = changed(made_up, "vgg9", train={**made_up.runs["vgg9"].train, "weight_decay": 5e-3})
    atlas = Atlas(results, load_targets())
    assert atlas.decay("vgg9_nowd", "vgg9_adam_nowd") == "weight decay 0"
    assert atlas.decay("vgg9") == "weight decay 0.005"
    assert atlas.decay("vgg9_adam") == "weight decay 0.0005"
    assert atlas.decay("vgg9", "vgg9_adam") == "weight decay 0.005 (SGD),\n0.0005 (Adam)"
    assert atlas.schedule("vgg9") == "SGD, weight decay 0.005"
    (_, said) = details.training(["vgg9", "vgg9_nowd"], results, load_targets())
    assert said == "Some by weight decay 0.005; in the paper 0.0005 where there is any."
    assert len(details.training(["vgg9", "vgg9_nowd"], made_up, load_targets())) == 1


def test_a_line_that_breaks_off_says_why(made_up: Results) -> None:
    line = made_up.lines["vgg9_interpolation"].line
    assert line is not None and details.breaks([line, None]) == []
    (said,) = details.breaks([line, replace(line, train_loss=np.where(line.alpha > 1, np.nan, line.train_loss))])
    assert "not finite" in said and "running variances" in said


def test_resnet56_by_adam_has_neither_sgds_number_nor_its_title(made_up: Results) -> None:
    results = changed(made_up, "resnet56", train={**made_up.runs["resnet56"].train, "optimizer": "adam"})
    drawing = gallery(results, load_targets(), "figure-5")["figure-5"]
    panel = headed(drawing, "ResNet-56 (in fact Adam)")[0]
    assert "published 7.67 %" in below(panel)
    assert "5.89" not in words(drawing)
    assert "SGD, batch 16 (in fact Adam)" in words(gallery(results, load_targets(), "figure-15")["figure-15"])


def test_batch_sizes_stand_beside_the_papers(drawn: dict[str, Drawing]) -> None:
    text = drawn["figure-3"].caption
    assert "12 epochs with batches of 16 and 168 images; in the paper 300 epochs and 128 and 8,192 images" in text
    assert "in the paper 300 epochs and 128 and 4,096 images" in drawn["figure-14"].caption
    assert "in the paper 300 epochs and 128 images" in drawn["figure-5"].caption
    assert "batch 168" in words(drawn["figure-3"])


@pytest.mark.parametrize(
    "name", ["figure-2", "figure-3", "figure-11", "figure-12", "figure-14", "figure-15", "figure-16"]
)
def test_profiles_of_a_figure_share_their_axes(drawn: dict[str, Drawing], name: str) -> None:
    losses = [axes for axes in drawn[name].figure.axes if axes.get_title() and axes.get_yscale() == "log"]
    losses = [axes for axes in losses if axes.lines]
    assert len(losses) >= 2
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
    minus = "\N{MINUS SIGN}"
    assert f"The axes reach from {minus}1 to 1, as in the paper." in drawn["figure-11"].caption
    assert f"reach from {minus}0.1 to 0.1, in the paper from {minus}0.2 to 0.2." in drawn["figure-12"].caption
    assert "in the paper from" not in drawn["figure-13"].caption


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


def test_the_caption_counts_points_that_converged(made_up: Results, drawn: dict[str, Drawing]) -> None:
    found = made_up.hessians["resnet56"].map
    assert found is not None
    small = np.abs(found.lambda_min / found.lambda_max)[found.converged] < 0.01
    assert 0 < found.converged.sum() < found.converged.size
    text = f"ResNet-56: {found.converged.sum()} of {found.converged.size} points converged, {100 * small.mean():.0f} %"
    assert f"{text} of these below 0.01." in drawn["figure-7"].caption
    assert "Points that did not converge are hatched." in drawn["figure-7"].caption


def test_the_caption_says_which_layer_is_rescaled(drawn: dict[str, Drawing]) -> None:
    assert (
        "a normalization's weight and bias and reaches the next layer through the ReLU"
        in drawn["scale-invariance"].caption
    )


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


def test_sharpness_has_the_titles_of_the_results(drawn: dict[str, Drawing]) -> None:
    curvature = headed(drawn["sharpness"], "made-up curvature")[0]
    assert curvature.get_xlabel() == "nats per turn (sharper →)"
    assert below(curvature) == "ρ = +0.81, 33 runs, p = 0.002"
    assert len(curvature.lines) == 33
    assert headed(drawn["sharpness"], "radius at which the mean training loss has\nrisen by 0.1")
    assert headed(drawn["sharpness"], "level_width")  # nothing said about it
