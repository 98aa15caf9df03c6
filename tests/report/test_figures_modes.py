"""Figures of curves, planes through three points and ensembles drawn from synthetic results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from synthetic_modes import (
    BEND,
    CYCLE,
    EPOCHS,
    LOW,
    NETWORKS,
    PER_EPOCH,
    RATES,
    SIDE,
    SNAPSHOTS,
    START,
    modes_curve,
    modes_cycles,
    modes_ensemble,
    modes_plane,
    modes_plane3,
    modes_results,
    modes_run,
)
from test_gallery import MODES, Drawing, gallery, words

from lossatlas.report.artefacts import Cycles, Results
from lossatlas.report.figures import modes
from lossatlas.report.figures.connections import COLOURS as CURVE_COLOURS
from lossatlas.report.figures.connections import floored
from lossatlas.report.figures.methods import COLOURS
from lossatlas.report.figures.plane_marks import off_plane, point_marks, snapshot_marks
from lossatlas.report.figures.scale import error, error_scale, losses_scale
from lossatlas.report.figures.style import CYCLE as COLOUR_CYCLE
from lossatlas.report.figures.style import headlines, png
from lossatlas.report.targets import load_targets

FIGURE1 = ("garipov-figure-1", "garipov-figure-1-test")


@pytest.fixture(scope="module")
def made_up() -> Results:
    return modes_results()


@pytest.fixture(scope="module")
def drawn(made_up: Results) -> dict[str, Drawing]:
    return gallery(made_up, load_targets(), *MODES, "further-modes")


def redrawn(results: Results, name: str) -> Drawing:
    return gallery(results, load_targets(), name)[name]


def below(axes: Axes) -> str:
    return " ".join(text.get_text() for text in axes.texts)


def titled(drawing: Drawing) -> list[Axes]:
    return [axes for axes in drawing.figure.axes if axes.get_title()]


def cells(drawing: Drawing) -> list[Axes]:
    """Return the panels: every axes but colour bars and those of words."""
    return [axes for axes in drawing.figure.axes if axes.get_label() != "<colorbar>" and axes.axison]


def filled(axes: Axes) -> QuadContourSet:
    return next(item for item in axes.collections if isinstance(item, QuadContourSet) and item.filled)


def labelled(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_figure_1_shows_the_papers_network_if_it_is_there(made_up: Results) -> None:
    assert modes.pictured(made_up) == "preresnet164"
    both = modes_results(hundred=True)
    assert modes.pictured(both) == "preresnet164_cifar100"
    gone = {name: item for name, item in both.planes3.items() if not name.startswith("preresnet164")}
    assert modes.pictured(replace(both, planes3=gone)) == "vgg16_cifar100"
    assert modes.pictured(replace(both, planes3={})) == "preresnet164_cifar100"  # planned, not run
    smoke = replace(made_up, planned={}, planes3={"vgg9_bezier": modes_plane3("vgg9", "bezier")})
    assert modes.pictured(smoke) == "vgg9"


@pytest.mark.parametrize(("name", "source"), [(FIGURE1[0], "train"), (FIGURE1[1], "test")])
def test_figure_1_has_losses_above_errors_of_one_set(
    made_up: Results, drawn: dict[str, Drawing], name: str, source: str
) -> None:
    panels = cells(drawn[name])
    assert len(panels) == 6
    assert [axes.get_title() for axes in panels[:3]] == ["three minimizers", "polygonal chain", "Bezier curve"]
    plane = made_up.planes3["preresnet164_bezier"].plane
    assert plane is not None
    errors = error(getattr(plane, f"{source}_accuracy"))
    for axes, values in ((panels[2], getattr(plane, f"{source}_loss")), (panels[5], errors)):
        floor = error_scale([plane]).low if values is errors else -np.inf
        assert filled(axes).zmin == pytest.approx(max(np.log10(values.min()), floor))
        assert filled(axes).zmax == pytest.approx(np.log10(values.max()))
    bars = [axes.get_ylabel() for axes in drawn[name].figure.axes if axes.get_label() == "<colorbar>"]
    kind = {"train": "training", "test": "test"}[source]
    assert bars == [f"{kind} loss, nats per example", f"{kind} error"]


def test_training_and_test_set_share_both_scales(drawn: dict[str, Drawing]) -> None:
    one, two = ([filled(axes) for axes in cells(drawn[name])] for name in FIGURE1)
    losses, errors = [*one[:3], *two[:3]], [*one[3:], *two[3:]]
    for group in (losses, errors):
        assert len({(item.norm.vmin, item.norm.vmax, item.cmap.name) for item in group}) == 1
    assert losses[0].cmap.name != errors[0].cmap.name
    assert filled(cells(drawn["sse-trajectory"])[0]).norm.vmin == losses[0].norm.vmin
    assert filled(cells(drawn["further-modes"])[0]).norm.vmax == losses[0].norm.vmax


def test_a_plane_is_not_transposed_and_distances_are_true(made_up: Results, drawn: dict[str, Drawing]) -> None:
    plane = made_up.planes3["preresnet164_chain"].plane
    assert plane is not None
    for axes in cells(drawn["garipov-figure-1"]):
        assert axes.get_aspect() == 1
        assert axes.get_xlim() == (plane.x[0], plane.x[-1])
        assert axes.get_ylim() == (plane.y[0], plane.y[-1])


@pytest.mark.parametrize("row", [0, 1])
def test_a_peak_stands_where_it_was_measured(made_up: Results, row: int) -> None:
    plane = modes_plane()
    peak = np.zeros(plane.train_loss.shape)
    peak[-3, 2] = 1.0  # x is high, y is low
    steep = replace(plane, train_loss=0.02 + 3 * peak, train_accuracy=0.99 - 0.8 * peak)
    planes3 = {"preresnet164_bezier": modes_plane3("preresnet164", "bezier", steep)}
    drawing = redrawn(replace(made_up, planes3=planes3), "garipov-figure-1")
    found = filled(cells(drawing)[3 * row + 2])
    highest = [path.vertices for path in found.get_paths() if len(path.vertices)][-1]
    assert np.allclose(highest.mean(axis=0), (plane.x[-3], plane.y[2]), atol=0.5)


def test_points_bend_and_curve_are_where_the_results_say(made_up: Results, drawn: dict[str, Drawing]) -> None:
    optima, chain, _ = cells(drawn["garipov-figure-1"])[:3]
    assert not [line for line in optima.lines if line.get_label() == "path"]
    x, y = labelled(chain, "path")
    path = made_up.planes3["preresnet164_chain"].info["path"]
    assert x.tolist() == path["x"]
    assert y.tolist() == path["y"]
    bend = [line for line in chain.lines if line.get_marker() == "D"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in bend] == [BEND]  # type: ignore[index]
    points = [line for line in chain.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == [0.0, SIDE]  # type: ignore[index]
    assert not [line for line in optima.lines if line.get_marker() == "D"]
    for text in ("seed 0", "seed 1", "seed 2"):
        assert text in below(optima)
    assert "bend" in below(chain)


def test_points_are_named_by_run_where_seeds_do_not_tell_them_apart(made_up: Results) -> None:
    def names(*points: str, **seeds: int) -> list[str]:
        runs = {name: modes_run(name, seed=seed) for name, seed in seeds.items()}
        info = {"names": points, "points": [{"x": 0, "y": 0}] * 3}
        return [mark.name for mark in point_marks(info, replace(made_up, runs=runs))]

    assert names("a", "b", "bend 1 of c", a=3, b=4) == ["seed 3", "seed 4", "bend"]
    assert names("a", "b", "bend 1 of c", a=0, b=0) == ["a", "b", "bend"]
    assert names("a", "b", "bend 1 of c", a=0) == ["a", "b", "bend"]  # b was removed since
    assert names("bend 1 of c", "a", "bend 2 of c", a=0) == ["bend 1", "seed 0", "bend 2"]
    assert names("vgg16", "b", "wrn28_10", vgg16=0, b=1, wrn28_10=2)[0] == "vgg16"  # networks of other titles


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "statistics refreshed at each point"),
        ({"statistics": "frozen"}, "statistics frozen: those of the first point"),
        ({"refresh": {"examples": 0, "batch_size": None, "layers": 0}}, "no batch normalization"),
    ],
)
def test_a_plane_says_how_statistics_are_set(made_up: Results, more: dict[str, Any], text: str) -> None:
    plane = modes_plane3("preresnet164", "bezier", **more)
    drawing = redrawn(replace(made_up, planned={}, planes3={"preresnet164_bezier": plane}), FIGURE1[0])
    assert text in below(titled(drawing)[2])
    refreshed = "refreshed with 1,024 training images in batches of 128" in drawing.caption
    assert refreshed == (not more)
    assert ("have no batch normalization" in drawing.caption) == ("refresh" in more)


def test_values_that_are_not_finite_are_left_out_of_planes(made_up: Results) -> None:
    plane = modes_plane(scale=1e5)
    plane.train_loss[3:6, 2:5] = np.nan
    plane.train_loss[10] = np.inf
    planes3 = {**made_up.planes3, "preresnet164_bezier": modes_plane3("preresnet164", "bezier", plane)}
    drawing = redrawn(replace(made_up, planes3=planes3), FIGURE1[0])
    found = filled(cells(drawing)[2])
    assert found.norm.vmax == 2.0  # losses above 100 have one colour
    legend = drawing.figure.legends[0]
    assert "no finite value" in [text.get_text() for text in legend.get_texts()]
    png(drawing.figure)


def test_rounding_sets_no_level_of_errors() -> None:
    plane = modes_plane()
    exact = replace(plane, train_accuracy=np.ones_like(plane.train_loss), test_accuracy=plane.test_accuracy)
    noisy = replace(exact, train_accuracy=exact.train_accuracy - 1e-13)
    assert error_scale([noisy]) == error_scale([exact])
    assert losses_scale([plane]).low <= np.log10(plane.train_loss.min())
    assert losses_scale([plane]).high >= np.log10(plane.test_loss.max())


def test_figure_2_draws_the_segment_both_ways(made_up: Results, drawn: dict[str, Drawing]) -> None:
    loss, errors = cells(drawn["garipov-figure-2"])[2:4]
    segment = made_up.curves["preresnet164_segment"].losses
    assert segment is not None
    for i, (row, dashes) in enumerate((("interpolated", "--"), ("refreshed", "-"))):
        line = next(line for line in loss.lines if line.get_label() == f"segment, {row}")
        assert line.get_linestyle() == dashes
        assert line.get_color() == CURVE_COLOURS["segment"]
        assert np.array_equal(line.get_ydata(), segment.train_loss[i])
        assert np.allclose(labelled(errors, f"segment, {row}")[1], 1 - segment.test_accuracy[i])
    assert {line.get_label() for line in loss.lines} == {
        *("segment, interpolated", "segment, refreshed", "chain, refreshed", "bezier, refreshed")
    }
    assert len({line.get_color() for line in loss.lines}) == 3


def test_rows_of_figure_2_share_their_axes_and_say_distances(drawn: dict[str, Drawing]) -> None:
    panels = cells(drawn["garipov-figure-2"])
    for column in (panels[::2], panels[1::2]):
        assert len({axes.get_ylim() for axes in column}) == 1
        assert {axes.get_yscale() for axes in column} == {"log"}
    assert "ends 20 apart; length: chain 39.4, Bezier 27.6" in below(panels[2])
    assert "highest, refreshed: segment 66.60 %, chain 9.60 %, Bezier 8.60 %" in below(panels[3])


def test_a_curve_that_is_missing_says_why_beside_the_others(made_up: Results, drawn: dict[str, Drawing]) -> None:
    first = cells(drawn["garipov-figure-2"])[0]
    assert "chain: skipped: vgg16_seed1 diverged" in below(first)
    assert len(first.lines) == 3
    gone = {name: item for name, item in made_up.curves.items() if not name.startswith("wrn28_10")}
    panels = cells(redrawn(replace(made_up, curves=gone), "garipov-figure-2"))
    assert ["not run" in below(axes) for axes in panels] == [False] * 4 + [True] * 2


def test_high_barriers_and_no_errors_keep_figure_2_readable(made_up: Results) -> None:
    bezier = modes_curve("vgg16", "bezier")
    assert bezier.losses is not None
    bezier.losses.train_loss[0, 20:30] = np.nan
    bezier.losses.test_accuracy[0, :10] = 1.0
    curves = {"vgg16_segment": modes_curve("vgg16", "segment", barrier=1e4), "vgg16_bezier": bezier}
    drawing = redrawn(replace(made_up, curves=curves, planned={}), "garipov-figure-2")
    loss, errors = cells(drawing)
    assert loss.get_ylim()[1] == pytest.approx(125)  # the cap, and room above it
    assert np.isnan(labelled(loss, "bezier, refreshed")[1]).sum() == 10
    assert labelled(errors, "bezier, refreshed")[1][0] == 0.5 / 128
    assert "the error is drawn at half an image" in drawing.caption
    png(drawing.figure)


def test_half_an_image_stands_for_no_error_only() -> None:
    assert floored(np.array([0.0, 0.1, np.nan]), 0.01).tolist()[:2] == [0.01, 0.1]
    assert np.isnan(floored(np.array([np.nan]), 0.01))


def test_cycles_are_drawn_against_the_epochs_of_the_budget(made_up: Results, drawn: dict[str, Drawing]) -> None:
    panels = cells(drawn["fge-cycles"])
    rate, error_panel, distance = (panels[3 * i + 1] for i in range(3))  # the second column
    assert rate.get_title() == "PreResNet-164"
    found = made_up.fges["preresnet164"]
    history = found.history
    assert history is not None
    x, y = np.asarray(rate.lines[0].get_xdata()), np.asarray(rate.lines[0].get_ydata())
    assert x[0] == START + 1 / PER_EPOCH
    assert x[-1] == EPOCHS
    assert np.array_equal(y, history.step_learning_rate)
    members = [START + epoch for epoch in found.info["members"]]
    for axes, values in ((error_panel, history.test_error), (distance, np.array(found.info["distance"]))):
        assert np.array_equal(axes.lines[0].get_xdata(), START + np.arange(EPOCHS - START + 1))
        assert np.array_equal(axes.lines[0].get_ydata(), values)
        marked = labelled(axes, "member")
        assert marked[0].tolist() == members
        assert marked[1].tolist() == values[found.info["members"]].tolist()


def test_members_of_fge_are_taken_at_the_lowest_rate(drawn: dict[str, Drawing]) -> None:
    x, rates = labelled(cells(drawn["fge-cycles"])[0], "member")
    assert x.tolist() == [21, 23, 25]
    assert rates.tolist() == pytest.approx([LOW] * 3)


def test_a_training_in_cycles_that_diverged_is_not_drawn(made_up: Results) -> None:
    whole = made_up.fges["vgg16"]
    info = {**whole.info, "status": "skipped", "reason": "the cycles diverged", "members": [], "distance": [0.0, None]}
    results = replace(made_up, fges={**made_up.fges, "vgg16": Cycles("vgg16", info, whole.history)})
    assert below(titled(redrawn(results, "fge-cycles"))[0]).count("the cycles diverged") == 1
    bottom = [axes for axes in cells(redrawn(results, "schedules")) if axes.get_xlabel() == "iteration"][1]
    assert {line.get_label() for line in bottom.lines} == {"ind", "member"}


def test_schedules_are_the_recorded_steps_with_their_formulas(made_up: Results, drawn: dict[str, Drawing]) -> None:
    drawing = drawn["schedules"]
    sse, fge = cells(drawing)[:2]
    assert sse.get_title() == "VGG-16"
    rates = made_up.runs["vgg16_sse"].history.step_learning_rate
    assert np.array_equal(labelled(sse, "sse")[1], rates)
    taken = labelled(sse, "member")
    assert taken[0].tolist() == [epoch * PER_EPOCH for epoch in SNAPSHOTS]
    cycle = EPOCHS * PER_EPOCH // len(SNAPSHOTS)
    assert np.array_equal(taken[1], rates[cycle - 1 :: cycle])  # the last step of every cycle
    x, y = labelled(fge, "fge")
    assert x[0] == START * PER_EPOCH + 1
    assert np.array_equal(y, made_up.fges["vgg16"].history.step_learning_rate)  # type: ignore[union-attr]
    assert np.array_equal(labelled(fge, "ind")[1], made_up.runs["vgg16"].history.step_learning_rate)
    assert f"$T$ = {EPOCHS * PER_EPOCH:,},  $M$ = {len(SNAPSHOTS)},  $\\alpha_0$ = 0.05" in below(sse)
    assert f"from iteration {START * PER_EPOCH}:\n$c$ = {CYCLE * PER_EPOCH}," in below(fge)
    assert f"$\\alpha_1$ = {RATES['vgg16'][1]:g},  $\\alpha_2$ = {LOW:g}" in below(fge)
    formulas = words(drawing)
    assert r"\lceil T/M \rceil" in formulas
    assert r"\mathrm{mod}(i-1,\,c) + 1" in formulas
    assert "keeps its rate for 50% of the budget, goes linearly to 0.01 of it at 90%" in drawing.caption


def test_schedules_of_a_network_share_their_axes(made_up: Results) -> None:
    longer = {**made_up.runs, "vgg16_sse": modes_run("vgg16_sse", epochs=2 * EPOCHS)}
    panels = cells(redrawn(replace(made_up, runs=longer), "schedules"))
    assert panels[0].get_xlim()[1] > 2 * EPOCHS * PER_EPOCH
    for i in range(len(NETWORKS)):
        sse, fge = panels[2 * i : 2 * i + 2]
        assert sse.get_xlim() == fge.get_xlim()
        assert sse.get_ylim() == fge.get_ylim()


def test_schedules_show_each_network_once_on_data_that_were_run() -> None:
    results = modes_results(hundred=True)
    assert "Our data: cifar100." in redrawn(results, "schedules").caption
    runs = {name: run for name, run in results.runs.items() if "cifar100" not in name}
    drawing = redrawn(replace(results, runs=runs), "schedules")
    assert [axes.get_title() for axes in titled(drawing)] == ["VGG-16", "PreResNet-164", "WRN-28-10"]
    assert "Our data: cifar10." in drawing.caption


def test_snapshots_are_numbered_on_the_path(made_up: Results, drawn: dict[str, Drawing]) -> None:
    panel = cells(drawn["sse-trajectory"])[0]
    path = made_up.planes3["vgg16_sse"].info["path"]
    numbers = {text.get_text(): text.get_position() for text in panel.texts if text.get_text().isdigit()}
    assert numbers == {str(i): (path["x"][i], path["y"][i]) for i in (1, 2, 3, 4, 5)}
    start = next(line for line in panel.lines if line.get_marker() == "s")
    assert (start.get_xdata()[0], start.get_ydata()[0]) == (path["x"][0], path["y"][0])  # type: ignore[index]
    assert "at most 7.5 off the plane" in below(panel)
    assert "not run" in below(cells(drawn["sse-trajectory"])[2])


def test_checkpoints_between_snapshots_are_not_numbered() -> None:
    path = {"x": [0, 1, 2, 3, 4], "y": [5, 6, 7, 8, 9], "labels": [0, 1, 2, 3, 4]}
    marks, start = snapshot_marks(path, [2, 4])
    assert [(mark.number, mark.x, mark.y) for mark in marks] == [("1", 2, 7), ("2", 4, 9)]
    assert start == (0, 5)
    late, none = snapshot_marks({**path, "labels": [3, 4, 5, 6, 7]}, [3, 5, 7])
    assert [mark.number for mark in late] == ["1", "2", "3"]
    assert none is None
    unknown, _ = snapshot_marks(path, [])
    assert [mark.number for mark in unknown] == ["1", "2", "3", "4"]


def test_distances_from_the_plane_that_are_not_known_are_left_out() -> None:
    assert off_plane({"off_plane": [0.0, None, 1.234]}) == "at most 1.2 off the plane"
    assert off_plane({"off_plane": [None]}) == ""


def test_sizes_are_drawn_by_method(made_up: Results, drawn: dict[str, Drawing]) -> None:
    panels = cells(drawn["ensemble-size"])
    errors, losses = panels[0], panels[3]
    assert errors.get_title() == "VGG-16"
    for method, colour in COLOURS.items():
        info = made_up.ensembles[f"vgg16-digits-{method}"]
        for axes, key in ((errors, "error"), (losses, "loss")):
            lines = [line for line in axes.lines if line.get_color() == colour]
            first = next(line for line in lines if line.get_label() == "first budget")
            assert np.array_equal(first.get_xdata(), [row["members"] for row in info["by_size"]])
            assert np.array_equal(first.get_ydata(), [row[key] for row in info["by_size"]])
            for row in info["pooled"]:
                point = next(line for line in lines if line.get_label() == f"{row['budgets']}B")
                assert (point.get_xdata()[0], point.get_ydata()[0]) == (row["members"], row[key])  # type: ignore[index]
    assert set(COLOURS.values()) < set(COLOUR_CYCLE)


def test_ensembles_of_three_and_of_ten_members_fit(made_up: Results) -> None:
    ensembles = {**made_up.ensembles, "vgg16-digits-fge": modes_ensemble("vgg16", "digits", "fge", members=10)}
    del ensembles["preresnet164-digits-sse"]
    skipped = {**ensembles["wrn28_10-digits-fge"], "status": "skipped", "reason": "a run diverged", "by_size": []}
    results = replace(made_up, ensembles={**ensembles, "wrn28_10-digits-fge": skipped})
    wide, short, other = cells(redrawn(results, "ensemble-size"))[:3]
    assert wide.get_xlim()[1] > 30  # three budgets of ten
    assert "SSE: not run" in below(short)
    assert {line.get_color() for line in short.lines} == {COLOURS["ind"], COLOURS["fge"]}
    assert "FGE: skipped: a run diverged" in below(other)


def test_losses_that_are_not_known_are_gaps(made_up: Results) -> None:
    info = modes_ensemble("vgg16", "digits", "sse")
    info["by_size"][2]["loss"] = None
    results = replace(made_up, ensembles={"vgg16-digits-sse": info}, planned={})
    losses = cells(redrawn(results, "ensemble-size"))[1]
    assert np.isnan(labelled(losses, "first budget")[1]).tolist() == [False, False, True, False, False]


def test_further_planes_are_those_of_other_networks(drawn: dict[str, Drawing]) -> None:
    text = words(drawn["further-modes"])
    assert "VGG-16" in text
    assert "WRN-28-10" in text
    assert "PreResNet-164" not in text
    assert len(titled(drawn["further-modes"])) == 6


def test_without_other_planes_there_is_no_further_figure(made_up: Results) -> None:
    keep = {name: item for name, item in made_up.planes3.items() if name.startswith("preresnet164")}
    results = replace(made_up, planned={}, planes3=keep)
    assert not gallery(results, load_targets(), "further-modes")
    mine = replace(modes_plane3("vgg16", "optima"), name="mine")
    drawing = redrawn(replace(results, planes3={**keep, "mine": mine}), "further-modes")
    assert [axes.get_title() for axes in titled(drawing)] == ["mine"]


def test_cifar100_stands_in_rows_of_its_own() -> None:
    results = modes_results(hundred=True)
    drawn = gallery(results, load_targets(), *MODES)
    for name, count in (("fge-cycles", 18), ("sse-trajectory", 6), ("ensemble-size", 12), ("garipov-figure-2", 12)):
        assert len(cells(drawn[name])) == count
    titles = [axes.get_title() for axes in titled(drawn["ensemble-size"])]
    assert titles[:2] == ["VGG-16, CIFAR-100", "PreResNet-164, CIFAR-100"]
    assert titles[3] == "VGG-16, CIFAR-10"
    assert "VGG-16, CIFAR-100" in below(cells(drawn["garipov-figure-2"])[0])
    assert "The network is PreResNet-164, CIFAR-100." in drawn["garipov-figure-1"].caption


def test_one_network_alone_fills_the_page(made_up: Results) -> None:
    ensembles = {name: info for name, info in made_up.ensembles.items() if name.startswith("vgg16")}
    results = replace(made_up, planned={}, fges={"vgg16": modes_cycles("vgg16")}, ensembles=ensembles)
    for name, count in (("fge-cycles", 3), ("schedules", 2), ("ensemble-size", 2)):
        drawing = redrawn(results, name)
        assert len(cells(drawing)) == count
        assert drawing.figure.get_figwidth() > 8


def test_nothing_planned_is_one_row_of_empty_cells(made_up: Results) -> None:
    nothing: dict[str, Any] = {"runs": {}, "curves": {}, "planes3": {}, "fges": {}, "ensembles": {}}
    drawn = gallery(replace(made_up, planned={}, planned_runs={}, **nothing), load_targets(), *MODES)
    for name, drawing in drawn.items():
        panels = cells(drawing)
        assert len(panels) == (2 if name == "garipov-figure-2" else 3)
        assert all("not run" in below(axes) for axes in panels), name
        assert drawing.figure.get_figheight() <= 4


def test_thin_networks_are_named_as_such_and_their_names_broken(made_up: Results) -> None:
    run = made_up.runs["vgg16"]
    thin = replace(run, info={**run.info, "options": {**run.info["options"], "batch_norm": True, "base_width": 8}})
    results = replace(made_up, runs={**made_up.runs, "vgg16": thin})
    panel = titled(redrawn(results, "ensemble-size"))[0]
    assert panel.get_title() == "VGG-16" and below(panel).strip() == "(batch norm, 1/8 of the filters)"


LONG = {
    "vgg16": {"batch_norm": True, "base_width": 16},
    "preresnet164": {"depth": 20, "base_width": 8},
    "wrn28_10": {"depth": 10, "widen": 4, "base_width": 4},
}


def thinner(results: Results) -> Results:
    """The same results of narrow networks, whose names need more room."""

    def thin(info: Any) -> Any:
        options = next(options for name, options in LONG.items() if str(info["run"]).startswith(name))
        return {**info, "options": {**info["options"], **options}}

    groups = {group: getattr(results, group) for group in ("runs", "curves", "planes3", "fges")}
    changed: dict[str, Any] = {
        group: {name: replace(item, info=thin(item.info)) for name, item in items.items()}
        for group, items in groups.items()
    }
    return replace(results, ensembles={name: thin(info) for name, info in results.ensembles.items()}, **changed)


@pytest.mark.parametrize("name", ["ensemble-size", "fge-cycles", "schedules", "sse-trajectory"])
def test_names_of_unequal_length_stand_at_one_height(made_up: Results, name: str) -> None:
    drawing = redrawn(thinner(made_up), name)
    png(drawing.figure)  # places everything
    panels = titled(drawing)
    assert [axes.get_title() for axes in panels] == ["VGG-16", "PreResNet-164", "WRN-28-10"]
    tops = [axes.title.get_window_extent().y1 - axes.get_window_extent().y1 for axes in panels]
    assert max(tops) - min(tops) < 2, "pixels"
    for axes in panels:
        words = next(text for text in axes.texts if "of the filters)" in text.get_text())
        assert words.get_window_extent().width < axes.get_window_extent().width + 20
        # no line of numbers runs into the name
        assert words.get_window_extent().y1 <= axes.title.get_window_extent().y0 + 1
    assert "(depth 10, widen 4, 1/4 of the filters)" in below(panels[2]).splitlines()


def test_curves_that_overflow_say_at_how_many_points(made_up: Results, drawn: dict[str, Drawing]) -> None:
    curves = dict(made_up.curves)
    for kind, count in (("segment", 7), ("bezier", 1)):
        item = curves[f"vgg16_{kind}"]
        rows = {name: {**row, "not_finite": count * (name == "refreshed")} for name, row in item.info["rows"].items()}
        curves[item.name] = replace(item, info={**item.info, "rows": rows})
    text = " ".join(below(axes) for axes in cells(redrawn(replace(made_up, curves=curves), "garipov-figure-2")))
    assert "overflows, refreshed: segment at 7 points, Bezier at 1 point" in text
    assert "overflows" not in " ".join(below(axes) for axes in cells(drawn["garipov-figure-2"]))


def test_a_name_of_two_lines_and_one_without_brackets_share_their_first_line() -> None:
    titles = ["a name so long that it has to be broken in two (thin)", "short"]
    (one, first), (two, second) = headlines(titles, ["x\ny", "z"])
    assert (one.splitlines()[0], two) == ("a name so long that it has to be", "short\n ")
    assert (first, second) == ("(thin)\nx\ny", " \n \nz")
    assert headlines(["a", "b"], ["", ""]) == [("a", ""), ("b", "")]


@pytest.mark.parametrize("place", [(BEND[0], 5.3), (-3.0, 5.3), (22.9, 5.3), (BEND[0], -1.8), (-3.5, -1.7)])
def test_names_of_points_stay_inside_a_flat_plane(made_up: Results, place: tuple[float, float]) -> None:
    plane = modes_plane()
    flat = replace(plane, y=np.linspace(-2.0, 5.6, len(plane.y)))
    item = modes_plane3("preresnet164", "bezier", flat)
    points = [*item.info["points"][:2], {**item.info["points"][2], "x": place[0], "y": place[1]}]
    names = ["preresnet164", "another_run", "preresnet164_bezier"]
    moved = replace(item, info={**item.info, "points": points, "names": names, "path": None})
    drawing = redrawn(replace(made_up, planes3={"preresnet164_bezier": moved}), "garipov-figure-1")
    png(drawing.figure)
    panel = cells(drawing)[2]
    frame, found = panel.get_window_extent(), [text for text in panel.texts if text.get_text() in names]
    assert len(found) == 3
    for text in found:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1, text.get_text()
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1, text.get_text()


def test_captions_give_examples_refreshes_and_budgets(drawn: dict[str, Drawing]) -> None:
    text = drawn["garipov-figure-2"].caption
    assert "61 points, each the mean over 256 training and 128 test images." in text
    assert "Statistics are refreshed with 1,024 training images in batches of 128." in text
    assert "Curves were trained for 20 epochs." in text
    assert "VGG-16 25 (in the paper 200), PreResNet-164 25 (in the paper 150)" in text
    assert "Means over 360 test images." in drawn["ensemble-size"].caption
    for drawing in drawn.values():
        assert "300 epochs" not in drawing.caption  # the budget of Li et al.


@pytest.mark.parametrize("name", ["garipov-figure-1", "sse-trajectory", "schedules"])
def test_one_figure_has_one_sequence_of_bytes(made_up: Results, drawn: dict[str, Drawing], name: str) -> None:
    assert png(drawn[name].figure) == png(redrawn(made_up, name).figure)


def test_runs_of_one_network_have_a_group_of_their_own(made_up: Results) -> None:
    drawing = redrawn(made_up, "further-convergence")
    legends = [legend for axes in drawing.figure.axes if (legend := axes.get_legend())]
    groups = [f"{network}, digits" for network in ("VGG-16", "PreResNet-164", "WRN-28-10")]
    assert [legend.get_title().get_text() for legend in legends] == groups
    assert [len(legend.get_texts()) for legend in legends] == [4, 4, 4]
