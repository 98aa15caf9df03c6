"""Single figures of the studies: orientation, marks and scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from synthetic_studies import (
    DROPS,
    INVARIANCE_ROWS,
    study_hessian,
    study_history,
    study_plane,
    study_profile,
    study_slices,
    study_trajectory,
    study_weights,
)

from lossatlas.report.figures.along import LOSS, RIGHT, draw_along
from lossatlas.report.figures.axes import share_log
from lossatlas.report.figures.between import Between, between_figure
from lossatlas.report.figures.eigenvalues import EigenvaluePanel, convergence, eigenvalue_figure, ratio
from lossatlas.report.figures.interpolation import Interpolation, coarse, interpolation_figure
from lossatlas.report.figures.invariance import Rescaled, invariance_figure
from lossatlas.report.figures.norms import NormPanel, drops, norm_figure
from lossatlas.report.figures.paths import DROP, PathPanel, drop_points, path_figure, share, swapped
from lossatlas.report.figures.profiles import ProfilePanel, profile_figure
from lossatlas.report.figures.scale import CAP, loss_scale
from lossatlas.report.figures.sharpness import Measured, Point, sharpness_figure
from lossatlas.report.figures.slices import slice_figure
from lossatlas.report.figures.style import png
from lossatlas.report.figures.trainability import Cosines, Trainability, trainability_figure
from lossatlas.results import Line


def path_panels(**options: bool) -> tuple[Axes, PathPanel]:
    trajectory, plane = study_trajectory("random_and_start")
    panel = PathPanel("path", "", trajectory, plane, **options)
    return path_figure([[panel]], scale=loss_scale([plane])).axes[0], panel


def line_of(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_a_map_that_is_not_square_is_not_transposed() -> None:
    found = study_hessian("resnet56", 9, 7)
    figure = eigenvalue_figure([EigenvaluePanel("a", "", found)])
    mesh = next(item for item in figure.axes[0].collections if isinstance(item, QuadMesh))
    drawn = np.ma.asarray(mesh.get_array()).reshape(7, 9)
    assert np.ma.allclose(drawn, ratio(found).T)
    corners = mesh.get_coordinates()
    assert corners[0, 1, 0] > corners[0, 0, 0]  # x runs along the second index
    lowest = np.unravel_index(drawn.argmin(), drawn.shape)
    centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    assert np.asarray(centres[lowest]) == pytest.approx(np.zeros(2))


def test_points_that_did_not_converge_are_hatched_and_missing_ones_grey() -> None:
    found = study_hessian("resnet56")
    converged, smallest = found.converged.copy(), found.lambda_min.copy()
    converged[:] = True
    converged[2, 5] = False
    smallest[0, 0] = np.nan
    found = replace(found, converged=converged, lambda_min=smallest)
    figure = eigenvalue_figure([EigenvaluePanel("a", "", found, study_plane("resnet56"))], initialization=2.5)
    hatched = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle) and patch.get_hatch()]
    assert len(hatched) == 1
    cell = hatched[0]
    assert cell.get_x() < found.x[2] < cell.get_x() + cell.get_width()
    assert cell.get_y() < found.y[5] < cell.get_y() + cell.get_height()
    assert np.argwhere(np.ma.getmaskarray(ratio(found))).tolist() == [[0, 0]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["trained weights", "loss 2.5", "not converged", "no value"]
    png(figure)


def test_the_share_of_small_ratios_is_that_of_converged_points() -> None:
    found = study_hessian("resnet56", 3, 1)
    values = {"lambda_max": np.full((3, 1), 2.0), "lambda_min": np.array([[-0.01], [-1.0], [-0.001]])}
    converged = np.array([[True], [True], [False]])
    found = replace(found, **values, converged=converged)
    assert convergence(found) == "2 of 3 points converged, 50 % of these below 0.01"
    none = replace(found, converged=np.zeros((3, 1), dtype=bool))
    assert convergence(none) == "0 of 3 points converged"


def test_maps_share_one_scale() -> None:
    maps = [study_hessian("resnet56"), study_hessian("resnet56_noshort"), None]
    figure = eigenvalue_figure([EigenvaluePanel("a", "", item, absent="not run") for item in maps])
    norms = [item.norm for axes in figure.axes for item in axes.collections if isinstance(item, QuadMesh)]
    assert norms[0] is norms[1]
    assert "not run" in [text.get_text() for text in figure.axes[2].texts]


def test_a_path_keeps_its_axes() -> None:
    axes, panel = path_panels()
    assert panel.trajectory is not None
    assert panel.plane is not None
    x, y = line_of(axes, "path")
    assert np.array_equal(x, panel.trajectory.path_x)
    assert np.array_equal(y, panel.trajectory.path_y)
    assert axes.get_xlim() == pytest.approx((panel.plane.x[0], panel.plane.x[-1]))
    assert axes.get_ylim() == pytest.approx((panel.plane.y[0], panel.plane.y[-1]))
    assert axes.get_xlabel() == "random direction: 0.012 %"
    assert axes.get_ylabel() == "from the end to the start: 61.0 %"


def test_a_path_with_swapped_axes_is_swapped_in_everything() -> None:
    axes, panel = path_panels(swapped=True)
    assert panel.trajectory is not None
    assert panel.plane is not None
    x, y = line_of(axes, "path")
    assert np.array_equal(x, panel.trajectory.path_y)
    assert np.array_equal(y, panel.trajectory.path_x)
    assert axes.get_xlabel() == "from the end to the start: 61.0 %"
    plane = swapped(panel.plane)
    assert plane.train_loss.shape == (21, 25)
    assert plane.train_loss[3, 7] == panel.plane.train_loss[7, 3]
    assert plane.x is panel.plane.y


def test_one_scale_for_both_axes_encloses_the_path() -> None:
    axes, panel = path_panels(swapped=True, equal=True)
    assert panel.plane is not None
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(axes.get_ylim()))
    assert np.ptp(axes.get_xlim()) == pytest.approx(np.ptp(panel.plane.y))


def test_the_loss_under_a_path_is_not_transposed() -> None:
    trajectory, plane = study_trajectory()
    valley = np.repeat((0.1 + (plane.x - 2) ** 2)[:, None], len(plane.y), axis=1)
    plane = replace(plane, train_loss=valley)
    figure = path_figure([[PathPanel("path", "", trajectory, plane)]], scale=loss_scale([plane]))
    filled = next(i for i in figure.axes[0].collections if isinstance(i, QuadContourSet) and i.filled)
    lowest = next(path for path in filled.get_paths() if len(path.vertices))
    assert lowest.vertices[:, 0].mean() == pytest.approx(2, abs=0.3)
    assert np.ptp(lowest.vertices[:, 1]) == pytest.approx(np.ptp(plane.y))


def test_drops_are_marked_at_their_checkpoints() -> None:
    trajectory, plane = study_trajectory()
    assert [int(trajectory.epoch[i]) for i in drop_points(trajectory)] == list(DROPS)
    axes = path_figure([[PathPanel("path", "", trajectory, plane)]], scale=loss_scale([plane])).axes[0]
    x, y = line_of(axes, "drop")
    assert np.array_equal(x, trajectory.path_x[list(DROPS)])
    assert np.array_equal(y, trajectory.path_y[list(DROPS)])
    marks = next(line for line in axes.lines if line.get_label() == "drop")
    assert marks.get_color() == DROP


def test_a_drop_between_checkpoints_is_marked_at_the_one_before() -> None:
    trajectory, _ = study_trajectory()
    sparse = replace(trajectory, epoch=trajectory.epoch * 5, drops=("0", "13"))
    assert drop_points(sparse) == [0, 2]
    assert drop_points(replace(trajectory, drops=())) == []


def test_drops_of_a_history_are_the_last_epochs_and_steps_before_them() -> None:
    history = study_history("vgg9")
    assert drops(history) == list(DROPS)
    assert drops(history, against="step") == [32 * epoch for epoch in DROPS]


def test_norms_start_at_the_initialization_and_share_their_range() -> None:
    histories = [study_history("vgg9"), study_history("vgg9_large")]
    panels = [NormPanel("a", "", histories), NormPanel("b", "", [None, None], ["diverged", "not run"])]
    figure = norm_figure(panels)
    epochs, empty, steps, _ = figure.axes
    assert np.array_equal(epochs.lines[0].get_ydata(), histories[0].weight_norm)
    assert steps.lines[0].get_xdata()[0] == 0
    assert steps.lines[0].get_ydata()[0] == histories[0].weight_norm[0]
    assert steps.lines[0].get_xdata()[-1] == len(histories[0].step)
    assert epochs.get_ylim() == steps.get_ylim()
    assert epochs.get_ylim()[0] == 0
    assert "diverged\nnot run" in [text.get_text() for text in empty.texts]


def test_share_of_the_variation_in_percent() -> None:
    assert [share(value) for value in (0.832, 1.2e-4, np.nan)] == ["83.2 %", "0.012 %", "–"]


def test_histograms_keep_their_weights() -> None:
    histogram = study_weights("vgg9_nowd")
    edges, density = coarse(histogram, reach=1.0)
    assert len(edges) == len(density) + 1
    assert (density * np.diff(edges)).sum() == pytest.approx(1)
    edges, density = coarse(histogram, reach=0.2)
    within = histogram.count[np.abs((histogram.edge[1:] + histogram.edge[:-1]) / 2) < 0.2].sum() / histogram.count.sum()
    assert (density * np.diff(edges)).sum() == pytest.approx(within, rel=0.02)


def test_interpolation_without_a_line_still_shows_the_runs() -> None:
    histories, weights = [study_history("vgg9"), None], [study_weights("vgg9"), None]
    figure = interpolation_figure([Interpolation("decay", ["a", "b"], None, histories, weights, "not run")])
    line, norm, histogram = figure.axes[:3]
    assert "not run" in [text.get_text() for text in line.texts]
    assert norm.lines
    assert histogram.patches
    png(figure)


def test_losses_are_left_and_accuracies_right() -> None:
    profile = study_profile("vgg9", rows=3)
    axes, twin = draw_along(Figure().subplots(), profile)
    assert np.array_equal(axes.lines[0].get_ydata(), profile.train_loss[0])
    assert np.array_equal(axes.lines[1].get_ydata(), profile.test_loss[0])
    assert np.array_equal(twin.lines[0].get_ydata(), profile.train_accuracy[0])
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def test_errors_are_what_accuracies_leave() -> None:
    profile = study_profile("vgg9")
    axes, twin = draw_along(Figure().subplots(), profile, right="error")
    assert [line.get_color() for line in (axes.lines[0], twin.lines[0])] == [LOSS, RIGHT]
    assert np.array_equal(twin.lines[0].get_ydata(), 1 - profile.train_accuracy[0])
    assert np.array_equal(twin.lines[1].get_ydata(), 1 - profile.test_accuracy[0])
    assert [line.get_linestyle() for line in twin.lines] == ["-", "--"]
    low, high = twin.get_ylim()
    assert low < 0 < 1 <= high


def test_both_ends_of_a_line_between_minimizers_are_named() -> None:
    alpha = np.linspace(-0.5, 1.5, 5)
    line = Line(alpha, *np.full((4, 5), 0.5), np.ones(5, dtype=bool))
    figure = between_figure([Between("a", ["b", "c"], line), Between("d", ["", ""], None, "not run")])
    ticks = dict(zip(figure.axes[0].get_xticks(), figure.axes[0].get_xticklabels(), strict=True))
    assert [ticks[end].get_text() for end in (0, 1)] == ["0\nsmall batch", "1\nlarge batch"]
    assert "not run" in [text.get_text() for text in figure.axes[1].texts]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("train loss", "test loss", "train error", "test error")
    ]
    png(figure)


def test_losses_beyond_the_cap_do_not_stretch_the_axis() -> None:
    tame, wild = study_profile("vgg9"), study_profile("vgg9", scale=1e9)
    figure = profile_figure(
        [[ProfilePanel("a", "", tame), ProfilePanel("b", "", wild), ProfilePanel("c", "", None, "x")]]
    )
    losses = [axes for axes in figure.axes if axes.get_yscale() == "log"]
    assert {axes.get_ylim() for axes in losses} == {losses[0].get_ylim()}
    assert losses[0].get_ylim()[1] < 2 * 10**CAP
    assert losses[0].get_ylim()[0] < tame.train_loss.min()


def test_lines_across_a_panel_do_not_count_for_the_range() -> None:
    axes = Figure().subplots()
    axes.plot([0, 1], [2.0, 200.0])
    axes.axvline(0.5)
    share_log([axes])
    assert axes.get_ylim() == pytest.approx((2 / 1.25, 250))


def test_rescaled_weights_are_drawn_over_each_other() -> None:
    profile = replace(study_profile("vgg9", rows=3), rows=INVARIANCE_ROWS)
    figure = invariance_figure([Rescaled("VGG-9", profile, None, absent="not run")])
    filtered, unnormalized = figure.axes
    assert len(filtered.lines) == 3
    assert "not run" in [text.get_text() for text in unnormalized.texts]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(INVARIANCE_ROWS)
    widths = [line.get_linewidth() for line in filtered.lines]
    assert widths == sorted(widths, reverse=True)  # else the first would be hidden


def test_every_eigenvalue_is_drawn_and_negative_ones_apart() -> None:
    found = study_slices()
    spectrum = slice_figure(found).axes[1]
    positive, negative = (np.asarray(spectrum.lines[i].get_ydata()) for i in (0, 1))
    assert len(positive) + len(negative) == len(found.eigenvalue)
    assert (negative < 0).all()
    assert (positive >= 0).all()
    assert "not run" in [text.get_text() for text in slice_figure(None, absent="not run").axes[0].texts]


def test_sharpness_shows_runs_with_a_value_only() -> None:
    points = [Point(1.0, 0.1, "VGG-9"), Point(np.nan, 0.2, "VGG-9"), Point(300.0, 0.3, "other")]
    figure = sharpness_figure([Measured("curvature", "nats", points, "ρ = +0.50")])
    axes = figure.axes[0]
    assert len(axes.lines) == 2
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["VGG-9", "other"]
    png(figure)


def test_trainability_draws_depths_and_cosines() -> None:
    found = Trainability(
        initial={
            "Li et al.": {"with shortcuts": {20: [2.0, 4.0], 56: []}, "without shortcuts": {20: [np.nan], 110: [9.0]}}
        },
        convex={"with shortcuts": {20: 5.0, 56: np.nan}},
        cosines=[Cosines("a", 0.6, [0.1, 0.2]), Cosines("b", 0.5, [])],
        curves=[],
        level=2.5,
        absent="not run",
    )
    figure = trainability_figure(found)
    start, convex, cosines, curves = figure.axes
    assert [tuple(line.get_xdata()) for line in start.lines[:2]] == [(20,), (110,)]
    assert start.lines[0].get_ydata()[0] == pytest.approx(3)
    assert tuple(convex.lines[0].get_xdata()) == (20,)
    assert start.get_ylim() == convex.get_ylim()
    assert [label.get_text() for label in cosines.get_yticklabels()] == ["a", "b"]
    assert "not run" in [text.get_text() for text in curves.texts]
    png(figure)
