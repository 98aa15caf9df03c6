"""Each condition of each rule, on results that break it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic_claims import (
    DROP,
    EPOCHS,
    VGG9_ERRORS,
    make_line,
    make_map,
    make_path,
    make_probe,
    make_profile,
    make_run,
    make_weights,
    saddle,
    with_cut,
    with_history,
    with_run,
    with_sharpness,
    without,
)

from lossatlas.report.artefacts import Descent, Results
from lossatlas.report.claims import RULES, connectivity
from lossatlas.report.claims.rule import judge
from lossatlas.report.targets import Targets

Change = Callable[[Results], Results]


def line(name: str, *sharp: float) -> Change:
    return lambda r: replace(r, lines={**r.lines, name: replace(r.lines[name], line=make_line(*sharp))})


def sharp(run: str, **numbers: Any) -> Change:
    return lambda r: with_sharpness(r, run, **numbers)


def run(name: str, **changes: Any) -> Change:
    return lambda r: with_run(r, name, **changes)


def cuts(cut: str, radius: dict[str, float]) -> Change:
    def change(results: Results) -> Results:
        for name, value in radius.items():
            results = with_cut(results, name, cut, make_profile(value, rows=1))
        return results

    return change


def norm(name: str, values: Any) -> Change:
    return lambda r: with_history(r, name, weight_norm=np.asarray(values, dtype=float))


def step_norm(name: str, scale: float) -> Change:
    def change(results: Results) -> Results:
        history = results.runs[name].history
        start = history.weight_norm[0]
        return with_history(results, name, step_weight_norm=start + scale * (history.step_weight_norm - start))

    return change


def weights(name: str, scale: float) -> Change:
    return lambda r: replace(r, runs={**r.runs, name: replace(r.runs[name], weights=make_weights(scale))})


def final_norm(name: str, value: float) -> Change:
    def change(results: Results) -> Results:
        values = results.runs[name].history.weight_norm.copy()
        values[-1] = value
        return with_history(results, name, weight_norm=values)

    return change


def mapped(name: str, ratio: float, **options: Any) -> Change:
    def change(results: Results) -> Results:
        found, plane = make_map(ratio, **options)
        hessians = {**results.hessians, name: replace(results.hessians[name], map=found)}
        return replace(
            results, hessians=hessians, planes={**results.planes, name: replace(results.planes[name], plane=plane)}
        )

    return change


def turned(results: Results, name: str) -> Results:
    """Give the map and the plane of one network different directions."""
    map_, plane = results.hessians[name], results.planes[name]
    assert map_.map is not None
    assert plane.plane is not None
    first = replace(map_, map=replace(map_.map, provenance={"directions": [{"seed": 0}]}))
    second = replace(plane, plane=replace(plane.plane, provenance={"directions": [{"seed": 1}]}))
    return replace(results, hessians={**results.hessians, name: first}, planes={**results.planes, name: second})


def path(name: str, captured: tuple[float, float] = (0.5, 0.2), **arrays: Any) -> Change:
    found = replace(make_path(captured), **arrays)
    return lambda r: replace(
        r, trajectories={**r.trajectories, name: Descent(name, {"status": "finished"}, found, None)}
    )


def probed(name: str, part: str, **values: Any) -> Change:
    record = make_probe(name)
    return lambda r: replace(r, probes={**r.probes, name: {**record, part: {**record[part], **values}}})


def sliced(*, at: str = "end", **numbers: Any) -> Change:
    def change(results: Results) -> Results:
        old = results.slices["small"]
        start = {**old.info["start"], **(numbers if at == "start" else {})}
        info = {**old.info, **(numbers if at == "end" else {}), "start": start}
        return replace(results, slices={"small": replace(old, info=info)})

    return change


def seeds(name: str, **changes: Any) -> Change:
    """Give a run two repeats; each change is a list with one value per repeat."""

    def change(results: Results) -> Results:
        more = {
            f"{name}_seed{i + 1}": make_run(
                f"{name}_seed{i + 1}", **{"error": 0.1} | {k: v[i] for k, v in changes.items()}
            )
            for i in range(2)
        }
        return replace(results, runs={**results.runs, **more})

    return change


def all_of(*changes: Change) -> Change:
    def change(results: Results) -> Results:
        for each in changes:
            results = each(results)
        return results

    return change


def line_seeds(name: str, *sharp: tuple[float, float]) -> Change:
    def change(results: Results) -> Results:
        first = results.lines[name]
        more = {f"{name}_seed{i}": replace(first, line=make_line(*pair)) for i, pair in enumerate(sharp, 1)}
        return replace(results, lines={**results.lines, **more})

    return change


def rescaled(kind: str, value: float | None) -> Change:
    def change(results: Results) -> Results:
        old = results.invariances["vgg9"]
        values = {**old.info[f"{kind}_difference"], "filters x 100": value}
        return replace(results, invariances={"vgg9": replace(old, info={**old.info, f"{kind}_difference": values})})

    return change


GRADIENTS = [{"x": 0.75, "y": 0.0, "loss": 5.0, "mean_cosine": 0.6, "std_cosine": 0.1, "mean_norm": 1.0}]
ZIGZAG = 20 + np.arange(EPOCHS + 1) * 0.5 + np.where(np.arange(EPOCHS + 1) % 2, 1.0, 0.0)
LATE_FALL = np.concatenate([np.full(EPOCHS // 2, 20.0), np.linspace(20, 4, EPOCHS + 1 - EPOCHS // 2)])
EVEN_FALL = np.concatenate([np.linspace(20, 10, 11), np.linspace(10, 4, EPOCHS - 10)])
ALONG, ACROSS = np.full(EPOCHS + 1, 0.2), np.full(EPOCHS + 1, 0.95)
STRAIGHT = 10.0 - 0.25 * np.arange(EPOCHS + 1)

BROKEN: list[tuple[str, Change, str]] = [
    (
        "fig2_sharpness_flips",
        line("vgg9_nowd_interpolation", 20.0, 2.0),
        "vgg9_nowd_interpolation: width, small batch is not",
    ),
    (
        "fig2_sharpness_flips",
        line("vgg9_interpolation", 2.0, 20.0),
        "vgg9_interpolation: width, large batch is not above",
    ),
    (
        "fig2_sharpness_flips",
        line("vgg9_interpolation", 0.0, 0.0),
        "vgg9_interpolation: width, large batch is not above",
    ),
    ("fig2_weight_norm", norm("vgg9_nowd", ZIGZAG), "the norm of vgg9_nowd does not grow steadily"),
    ("fig2_weight_norm", norm("vgg9_large_nowd", 20 - np.arange(EPOCHS + 1) / 9), "vgg9_large_nowd does not grow"),
    (
        "fig2_weight_norm",
        norm("vgg9", LATE_FALL),
        "the norm of vgg9 does not fall fast; the norm of vgg9 does not settle",
    ),
    ("fig2_weight_norm", norm("vgg9_large", EVEN_FALL), "the norm of vgg9_large does not settle"),
    ("fig2_weight_norm", norm("vgg9", 20 + np.arange(EPOCHS + 1.0)), "the norm of vgg9 does not fall fast"),
    ("fig2_weight_histogram", weights("vgg9_nowd", 0.05), "vgg9_nowd: median absolute weight is not above"),
    ("fig2_weight_histogram", weights("vgg9", 0.5), "vgg9_large: median absolute weight is not above"),
    ("fig2_weight_histogram", final_norm("vgg9", 99.0), "vgg9_large: norm is not above"),
    (
        "fig3_filter_norm_ranks",
        sharp("vgg9", level_radius=0.01),
        "the order by sharpness is not that of the test errors",
    ),
    ("fig5_depth_chaos", sharp("resnet110", convex_share=0.3), "resnet110 keeps less than half"),
    ("fig5_depth_chaos", sharp("resnet20_noshort", convex_share=0.35), "resnet20_noshort keeps less than half"),
    ("fig5_depth_chaos", sharp("resnet110_noshort", convex_share=0.5), "resnet110_noshort keeps more than half"),
    (
        "fig5_depth_chaos",
        sharp("resnet56_noshort", convex_share=0.75),
        "resnet20_noshort: convex share of the plane is not",
    ),
    ("fig5_contour_width", sharp("resnet110", level_width=0.3), "the widths differ by more than a quarter"),
    ("fig5_contour_width", sharp("resnet110", level_width=0.6), "the widths differ by more than a quarter"),
    ("fig6_width_flattens", sharp("wrn56_8", level_radius=0.01), "with shortcuts: the radius does not grow"),
    ("fig6_width_flattens", sharp("wrn56_8_noshort", convex_share=0.01), "without: the convex share does not grow"),
    ("fig7_convex_looks_convex", mapped("resnet56", 0.2), "resnet56: the ratio is not near 0"),
    ("fig7_convex_looks_convex", mapped("densenet121", 0.02), "densenet121: the ratio is below 1 % in less than half"),
    ("sec7_pca_two_dims", path("vgg9_large", (0.2, 0.1)), "vgg9_large: less than 40 %"),
    ("sec7_pca_two_dims", path("vgg9_adam", (0.9, 0.05)), "vgg9_adam: more than 90 %"),
    ("sec7_random_dirs_fail", path("vgg9_random", (0.02, 0.01)), "two random directions capture more than 1 %"),
    ("sec7_random_dirs_fail", probed("vgg9", "random_cosine", mean=2 / (np.pi * 1000)), "is not the expected one"),
    (
        "a2_layer_norm_fails",
        cuts("filter", {"vgg9": 0.05}),
        "filter normalization ranks against the test error: vgg9 and",
    ),
    ("a4_repeatable", lambda r: with_cut(r, "vgg9", "filter", make_profile(0.3, noise=0.5)), "more than a tenth"),
    (
        "init_below_2_5",
        probed("resnet56", "initialization", li={"train_mode": [3.0]}),
        "resnet56 starts above 2.5 (li)",
    ),
    (
        "init_below_2_5",
        probed("resnet20", "initialization", glorot={"train_mode": [None]}),
        "resnet20 starts above 2.5",
    ),
    ("init_below_2_5", sharp("resnet110", nonconvex_level=2.4), "resnet110 loses convexity below 2.5"),
    ("init_below_2_5", sharp("resnet56_noshort", nonconvex_level=2.6), "resnet56_noshort stays convex beyond 2.5"),
    (
        "small_batch_generalizes",
        run("vgg9_adam", error=0.2),
        "vgg9_adam_large: test error is not above that of vgg9_adam",
    ),
    ("norm_per_iteration", step_norm("vgg9_nowd", 2.0), "no weight decay: the norms do not change at the same rate"),
    ("norm_per_iteration", step_norm("vgg9_large", -1.0), "weight decay: the norms do not change at the same rate"),
    ("path_turns", path("vgg9", alignment=ALONG), "early steps do not run across"),
    ("path_turns", path("vgg9", alignment=ACROSS), "late steps do not run along"),
    ("path_turns", path("vgg9", path_x=STRAIGHT, path_y=STRAIGHT), "no kink"),
    ("scale_invariance", rescaled("function", 0.5), "the function changes"),
    ("scale_invariance", rescaled("filter", None), "the filter-normalized line changes"),
    ("scale_invariance", rescaled("none", 0.01), "the line without normalization does not change"),
    ("depth_transition", sharp("resnet20_noshort", convex_share=0.3), "resnet20_noshort is chaotic already"),
    ("depth_transition", sharp("resnet56_noshort", convex_share=0.5), "resnet56_noshort is not chaotic yet"),
    ("depth_transition", sharp("resnet110_noshort", nonconvex_level=2.2), "resnet56_noshort: lowest loss without"),
    ("depth_transition", sharp("resnet110_noshort", nonconvex_level=0.5), "does not come nearer"),
    ("shattered_gradients", probed("resnet56_noshort", "gradients", far=GRADIENTS), "resnet56_noshort: gradients are"),
    ("condition_number", probed("vgg9", "condition", slice=20.0), "vgg9: the slice's is not a few units"),
    ("condition_number", probed("vgg9", "condition", full_lower_bound=15.0), "vgg9: the full one is not shown"),
    ("noshort156_untrainable", run("resnet158_noshort_lr001", error=0.5, train_error=0.5), "lr001 trains"),
    ("noshort156_untrainable", run("resnet158", error=0.9, train_error=0.9), "the control, does not train either"),
    ("projected_curvature", sliced(weighted_p_value=1e-4), "after training: measured curvatures are not distributed"),
    (
        "projected_curvature",
        sliced(at="start", weighted_p_value=1e-4),
        "at initialization: measured curvatures are not",
    ),
    ("projected_curvature", sliced(mean_curvature=[4.2, 4.0]), "after training: their mean is not the mean eigenvalue"),
    ("projected_curvature", sliced(at="start", mean_curvature=[3.8, 4.0]), "at initialization: their mean is not"),
    ("projected_curvature", sliced(slices_beyond_spectrum=0.01), "after training: a slice's curvature lies outside"),
    (
        "projected_curvature",
        sliced(at="start", slices_beyond_spectrum=0.01),
        "initialization: a slice's curvature lies",
    ),
    (
        "projected_curvature",
        sliced(slices_nonconvex=0.1, negative_fraction=0.0),
        "after training: slices are not convex, the full function is",
    ),
    (
        "projected_curvature",
        sliced(at="start", negative_fraction=0.0),
        "at initialization: slices are not convex, the full function is",
    ),
    (
        "fig2_sharpness_flips",
        line_seeds("vgg9_nowd_interpolation", (2.0, 2.2), (2.1, 1.9)),
        "vgg9_nowd_interpolation: width, large batch only within the spread of 3 seeds",
    ),
    (
        "norm_per_iteration",
        all_of(seeds("vgg9_nowd"), seeds("vgg9_large_nowd"), step_norm("vgg9_nowd_seed1", 1.9)),
        "no weight decay: the norms do not change at the same rate (mean and spread of 3 seeds)",
    ),
]


@pytest.mark.parametrize(("claim", "change", "words"), BROKEN)
def test_a_rule_fails_when_one_of_its_conditions_does(
    all_hold: Results, targets: Targets, claim: str, change: Change, words: str
) -> None:
    found = judge(RULES[claim], change(all_hold), targets)
    assert found.verdict == "does not hold"
    assert words in found.detail


def test_every_rule_is_broken_once() -> None:
    # those about curves and ensembles have a file of their own
    assert {claim for claim, _, _ in BROKEN} == set(RULES) - {rule.id for rule in connectivity.RULES}


MISSING: list[tuple[str, Change, str]] = [
    (
        "fig2_sharpness_flips",
        lambda r: without(r, "lines", "vgg9_interpolation"),
        "no interpolation vgg9_interpolation",
    ),
    ("fig2_weight_norm", run("vgg9", error=0.1, status="diverged"), "run vgg9 diverged"),
    (
        "fig3_filter_norm_ranks",
        lambda r: replace(r, sharpness={}),
        "no level radius of vgg9; no level radius of vgg9_nowd",
    ),
    ("fig3_filter_norm_ranks", run("vgg9", error=0.9, loss=2.2), "run vgg9 has not learnt: its training loss is 2.2"),
    ("fig5_contour_width", sharp("resnet20", level_width=None), "no level width of resnet20"),
    ("fig6_width_flattens", lambda r: without(r, "runs", "wrn56_8"), "run wrn56_8 is not there"),
    ("fig7_convex_looks_convex", lambda r: without(r, "hessians", "densenet121"), "no Hessian map of densenet121"),
    ("fig7_convex_looks_convex", lambda r: without(r, "planes", "resnet56"), "no plane resnet56"),
    ("fig7_convex_looks_convex", lambda r: turned(r, "resnet56"), "resnet56 along the same directions"),
    ("sec7_pca_two_dims", lambda r: without(r, "trajectories", "vgg9"), "no trajectory vgg9"),
    ("a2_layer_norm_fails", lambda r: without(r, "profiles", "vgg9_large"), "no profile filter of vgg9_large"),
    ("a4_repeatable", lambda r: with_cut(r, "vgg9", "filter", make_profile(0.3, rows=5)), "there are 5"),
    ("norm_per_iteration", lambda r: without(r, "runs", "vgg9_large"), "run vgg9_large is not there"),
    ("path_turns", path("vgg9", drops=()), "a drop of the learning rate"),
    ("scale_invariance", lambda r: replace(r, invariances={}), "no rescaled network"),
    ("shattered_gradients", sharp("resnet56_noshort", nonconvex_level=6.0), "in its chaotic region"),
    ("condition_number", lambda r: replace(r, probes={}), "no condition number"),
    ("noshort156_untrainable", lambda r: without(r, "runs", "resnet158"), "run resnet158 is not there"),
    ("projected_curvature", lambda r: replace(r, slices={}), "no slices"),
    ("projected_curvature", sliced(at="start", slices_nonconvex=0.0), "a slice that is not convex: all are"),
    ("projected_curvature", sliced(at="start", negative_fraction=None), "no negative fraction of the slices small at"),
    ("projected_curvature", sliced(mean_curvature=[None, 1.0]), "no mean curvature of the slices small after training"),
    (
        "depth_transition",
        probed("resnet110_noshort", "initialization", li={}),
        "no losses of resnet110_noshort at init",
    ),
    ("init_below_2_5", probed("resnet20", "initialization", li={"train_mode": []}), "no losses of resnet20 at init"),
    ("sec7_random_dirs_fail", probed("vgg9", "random_cosine", mean=np.nan), "vgg9: mean |cos| over 100 pairs is not a"),
]


@pytest.mark.parametrize(("claim", "change", "words"), MISSING)
def test_what_a_rule_lacks_is_named(
    all_hold: Results, targets: Targets, claim: str, change: Change, words: str
) -> None:
    found = judge(RULES[claim], change(all_hold), targets)
    assert found.verdict == "not run"
    assert words in found.detail


@pytest.mark.parametrize(
    ("claim", "change", "number", "verdict"),
    [
        # one pair of neighbours out of order, as the rule allows, and two
        ("fig3_filter_norm_ranks", sharp("vgg9_nowd", level_radius=0.4), "sharpness", "holds"),
        ("fig6_width_flattens", sharp("wrn56_2", level_radius=0.375), "width with radius, with shortcuts", "holds"),
        ("fig3_filter_norm_ranks", sharp("vgg9_nowd", level_radius=0.05), "sharpness", "does not hold"),
    ],
)
def test_neighbours_may_be_out_of_order(
    all_hold: Results, targets: Targets, claim: str, change: Change, number: str, verdict: str
) -> None:
    found = judge(RULES[claim], change(all_hold), targets)
    [rho] = [n.value for n in found.numbers if n.label.startswith(f"rank correlation of {number}")]
    assert (rho, found.verdict) == (0.8 if verdict == "holds" else 0.4, verdict), found.numbers


def test_the_norm_must_settle_before_the_first_drop(all_hold: Results, targets: Targets) -> None:
    history = all_hold.runs["vgg9"].history
    falling = 20 - 16 * (1 - np.exp(-history.step / 400))
    slow = with_history(all_hold, "vgg9", step_weight_norm=falling)
    large = with_history(slow, "vgg9_large", step_weight_norm=falling[: 2 * EPOCHS])
    found = judge(RULES["norm_per_iteration"], large, targets)
    assert found.detail == "with weight decay the norm has not settled when the learning rate drops; one seed"
    steps = {number.label: number.value for number in found.numbers}
    assert steps["weight decay: steps of both before the first drop"] == 2 * DROP


def test_ratios_are_compared_where_the_surface_looks_convex_and_where_not(all_hold: Results, targets: Targets) -> None:
    found = judge(RULES["fig7_convex_looks_convex"], all_hold, targets)
    numbers = {number.label: number.value for number in found.numbers}
    assert numbers["resnet56_noshort: points that do not"] == 5  # the column x = 0
    assert numbers["resnet56_noshort: median ratio where it looks convex"] == pytest.approx(0.03)
    assert numbers["resnet56_noshort: median ratio elsewhere"] == pytest.approx(0.8)
    assert numbers["densenet121: points of the map with a ratio below 1 %"] == 100
    blind = mapped("resnet56_noshort", 0.9, loss=saddle)(all_hold)
    assert "not larger where it does not look convex" in judge(RULES["fig7_convex_looks_convex"], blind, targets).detail


@pytest.mark.parametrize(("columns", "verdict"), [(2, "holds"), (3, "does not hold")])
def test_points_that_did_not_converge_are_points_of_the_map_but_not_below_one_percent(
    all_hold: Results, targets: Targets, columns: int, verdict: str
) -> None:
    item = all_hold.hessians["densenet121"]
    assert item.map is not None
    converged = np.ones((5, 5), dtype=bool)
    converged[:columns] = False
    hessians = {**all_hold.hessians, "densenet121": replace(item, map=replace(item.map, converged=converged))}
    found = judge(RULES["fig7_convex_looks_convex"], replace(all_hold, hessians=hessians), targets)
    numbers = {number.label: number.value for number in found.numbers}
    assert found.verdict == verdict
    assert numbers["densenet121: points of the map with a ratio below 1 %"] == 100 - 20 * columns
    assert numbers["densenet121: points of the map that converged"] == 100 - 20 * columns


def test_points_that_were_not_computed_do_not_count(all_hold: Results, targets: Targets) -> None:
    item = all_hold.hessians["densenet121"]
    assert item.map is not None
    done = np.ones((5, 5), dtype=bool)
    done[:3] = False
    hessians = {**all_hold.hessians, "densenet121": replace(item, map=replace(item.map, computed=done, converged=done))}
    found = judge(RULES["fig7_convex_looks_convex"], replace(all_hold, hessians=hessians), targets)
    assert found.verdict == "holds"


def test_a_network_that_has_not_learnt_has_no_condition_number(all_hold: Results, targets: Targets) -> None:
    bad = probed("resnet56", "condition", slice=50.0)(all_hold)
    assert judge(RULES["condition_number"], bad, targets).verdict == "does not hold"
    found = judge(RULES["condition_number"], with_run(bad, "resnet56", error=0.9, loss=2.3), targets)
    assert found.verdict == "holds"
    assert "left out: run resnet56 has not learnt" in found.detail
    assert not any(number.label.startswith("resnet56:") for number in found.numbers)


def test_lines_of_all_seeds_give_the_widths(all_hold: Results, targets: Targets) -> None:
    three = line_seeds("vgg9_nowd_interpolation", (2.2, 20.0), (1.8, 20.0))(all_hold)
    found = judge(RULES["fig2_sharpness_flips"], three, targets)
    numbers = {number.label: number for number in found.numbers}
    width = numbers["vgg9_nowd_interpolation: width, small batch"]
    assert (width.n, found.verdict) == (3, "holds")
    assert width.value == pytest.approx(np.mean([np.sqrt(0.1 / k) for k in (2.0, 2.2, 1.8)]))
    assert width.spread is not None
    assert numbers["vgg9_interpolation: width, small batch"].n == 1
    assert found.detail == "one seed of vgg9_interpolation"
    gone = {**three.lines, "vgg9_nowd_interpolation_seed1": replace(three.lines["vgg9_interpolation"], line=None)}
    found = judge(RULES["fig2_sharpness_flips"], replace(three, lines=gone), targets)
    assert next(number for number in found.numbers if number.label == width.label).n == 2
    assert "left out: no interpolation vgg9_nowd_interpolation_seed1" in found.detail


def test_a_width_to_the_end_of_the_line_is_a_lower_bound(all_hold: Results, targets: Targets) -> None:
    found = judge(RULES["fig2_sharpness_flips"], line("vgg9_nowd_interpolation", 0.0, 20.0)(all_hold), targets)
    width = next(number for number in found.numbers if number.label == "vgg9_nowd_interpolation: width, small batch")
    assert (width.text, found.verdict) == ("at least 0.5 of the segment", "holds")


@pytest.mark.parametrize("beyond", [0.0, 0.05])
def test_widths_that_end_where_the_loss_is_not_finite_decide_nothing(
    all_hold: Results, targets: Targets, beyond: float
) -> None:
    name = "vgg9_interpolation"
    whole = all_hold.lines[name].line
    assert whole is not None
    cut_off = replace(whole, train_loss=np.where(whole.alpha < -beyond - 1e-9, np.nan, whole.train_loss))
    lines = {**all_hold.lines, name: replace(all_hold.lines[name], line=cut_off)}
    found = judge(RULES["fig2_sharpness_flips"], replace(all_hold, lines=lines), targets)
    assert found.verdict == "not run"
    assert found.detail == f"{name}: outside the small batch the loss is not finite on 1 of 1 lines"
    numbers = {number.label: number for number in found.numbers}
    assert numbers[f"{name}: width, small batch"].value == pytest.approx(beyond)
    inner = numbers[f"for information, {name}: inner width, small batch"].value
    assert inner is not None and 0 < inner <= 1.5


def test_a_loss_that_is_not_finite_after_it_has_risen_changes_nothing(all_hold: Results, targets: Targets) -> None:
    name = "vgg9_interpolation"
    whole = all_hold.lines[name].line
    assert whole is not None
    far = replace(whole, train_loss=np.where(whole.train_loss > 1.0, np.nan, whole.train_loss))
    lines = {**all_hold.lines, name: replace(all_hold.lines[name], line=far)}
    found = judge(RULES["fig2_sharpness_flips"], replace(all_hold, lines=lines), targets)
    assert found == judge(RULES["fig2_sharpness_flips"], all_hold, targets)


def _without_depth_110(results: Results) -> Results:
    names = ("resnet110", "resnet110_noshort")
    entries = {name: entry for name, entry in results.sharpness["runs"].items() if name not in names}
    runs = {name: run for name, run in results.runs.items() if name not in names}
    probes = {name: entry for name, entry in results.probes.items() if name not in names}
    return replace(results, runs=runs, probes=probes, sharpness={**results.sharpness, "runs": entries})


@pytest.mark.parametrize(
    ("claim", "change", "words"),
    [
        (
            "init_below_2_5",
            probed("resnet56", "initialization", li={"train_mode": [3.0]}),
            "resnet56 starts above 2.5 (li)",
        ),
        ("init_below_2_5", sharp("resnet56", nonconvex_level=1.0), "resnet56 loses convexity below 2.5"),
        ("fig5_depth_chaos", sharp("resnet20_noshort", convex_share=0.1), "resnet20_noshort keeps less than half"),
        ("fig5_depth_chaos", sharp("resnet56_noshort", convex_share=0.79), "resnet20_noshort: convex share of the"),
    ],
)
def test_a_condition_that_fails_decides_without_what_is_not_there(
    all_hold: Results, targets: Targets, claim: str, change: Change, words: str
) -> None:
    some = _without_depth_110(all_hold)
    open_yet = judge(RULES[claim], some, targets)
    assert open_yet.verdict == "not run" and "resnet110" in open_yet.detail
    assert {number.label.partition(":")[0] for number in open_yet.numbers} >= {"resnet20", "resnet56"}
    found = judge(RULES[claim], change(some), targets)
    assert found.verdict == "does not hold"
    assert found.detail.startswith(words) and "left out: " in found.detail


def test_ranks_within_each_seed_are_shown(all_hold: Results, targets: Targets) -> None:
    names = ("vgg9", "vgg9_large", "vgg9_nowd", "vgg9_large_nowd")
    some = all_of(*(seeds(name, error=[VGG9_ERRORS[name]] * 2) for name in names))(all_hold)
    entries = dict(some.sharpness["runs"])
    for name in names:
        entries |= {f"{name}_seed{i}": dict(entries[name]) for i in (1, 2)}
    entries["vgg9_nowd_seed2"]["level_radius"] = 0.01
    found = judge(
        RULES["fig3_filter_norm_ranks"], replace(some, sharpness={**some.sharpness, "runs": entries}), targets
    )
    within = next(number for number in found.numbers if number.label == "for information: the same within each seed")
    assert (within.n, within.value) == (3, pytest.approx((1 + 1 + 0.4) / 3))


def test_norms_of_all_seeds_are_compared(all_hold: Results, targets: Targets) -> None:
    names = ("vgg9", "vgg9_large", "vgg9_nowd", "vgg9_large_nowd")
    three = all_of(*(seeds(name) for name in names))(all_hold)
    found = judge(RULES["norm_per_iteration"], three, targets)
    assert (found.verdict, found.detail) == ("holds", "")
    assert {number.n for number in found.numbers if "ratio" in number.label} == {3}
    alone = judge(RULES["norm_per_iteration"], all_of(*(seeds(name) for name in names[1:]))(all_hold), targets)
    assert next(number for number in alone.numbers if number.label == "weight decay: ratio of the changes").n == 1


@pytest.mark.parametrize(
    "claim",
    [
        *("fig2_sharpness_flips", "fig2_weight_norm", "fig2_weight_histogram", "fig3_filter_norm_ranks"),
        *("fig5_depth_chaos", "fig5_contour_width", "fig6_width_flattens", "depth_transition", "init_below_2_5"),
        *("small_batch_generalizes", "norm_per_iteration", "noshort156_untrainable", "path_turns"),
    ],
)
def test_a_verdict_on_single_runs_says_so(all_hold: Results, targets: Targets, claim: str) -> None:
    *_, last = judge(RULES[claim], all_hold, targets).detail.split("; ")
    # of networks whose initialization was drawn several times, what is of one seed is named
    assert last == "one seed" or last.startswith("one seed of ")


def test_what_has_one_seed_among_others_is_named(all_hold: Results, targets: Targets) -> None:
    some = all_of(seeds("vgg9", error=[0.06, 0.061]), seeds("vgg9_large", error=[0.11, 0.111]))(all_hold)
    found = judge(RULES["small_batch_generalizes"], some, targets)
    named = found.detail.partition("one seed of ")[2].split(", ")
    assert "vgg9_large_nowd" in named
    assert not {"vgg9", "vgg9_large"} & set(named)


@pytest.mark.parametrize("reason", ["the loss at the centre, 0.14, is above 0.1", "the set goes on beyond the plane"])
def test_without_a_level_set_the_width_above_the_centre_is_for_information(
    all_hold: Results, targets: Targets, reason: str
) -> None:
    unknown = with_sharpness(all_hold, "resnet110", level_width=None, rise_width=0.3, unknown={"level_width": reason})
    unknown = with_sharpness(unknown, "resnet20", rise_width=0.4)
    found = judge(RULES["fig5_contour_width"], unknown, targets)
    assert (found.verdict, found.detail) == ("not run", f"no level width of resnet110 ({reason})")
    assert [(number.label, number.value) for number in found.numbers] == [
        ("for information, resnet20: width 0.1 above the loss at the centre", 0.4),
        ("for information, resnet110: width 0.1 above the loss at the centre", 0.3),
    ]
    known = with_sharpness(unknown, "resnet110", level_width=0.37)
    assert len(judge(RULES["fig5_contour_width"], known, targets).numbers) == 5


def test_a_level_beyond_the_range_of_one_seed_is_no_level_below(all_hold: Results, targets: Targets) -> None:
    entries = all_hold.sharpness["runs"]
    beyond = {**entries["resnet56_noshort"], "nonconvex_level": None, "beyond": ["nonconvex_level"]}
    some = replace(all_hold, sharpness={"runs": {**entries, "resnet56_noshort_seed1": beyond}})
    found = judge(RULES["init_below_2_5"], some, targets)
    level = next(n for n in found.numbers if n.label == "resnet56_noshort: lowest loss without convexity")
    assert level.text == "at least 2 nats (2 seeds)"
    assert "resnet56_noshort stays convex beyond 2.5" in found.detail


def test_the_path_says_how_far_its_checkpoints_lie_apart(all_hold: Results, targets: Targets) -> None:
    every = np.arange(0, EPOCHS + 1, 2)
    whole = make_path((0.5, 0.2))
    thin = {name: getattr(whole, name)[every] for name in ("epoch", "path_x", "path_y", "distance", "alignment")}
    for change, apart in ((path("vgg9"), 1), (path("vgg9", **thin), 2)):
        numbers = {n.label: n.value for n in judge(RULES["path_turns"], change(all_hold), targets).numbers}
        assert numbers["epochs between checkpoints, at most"] == apart


def test_the_turn_of_a_path_is_the_mean_over_seeds(all_hold: Results, targets: Targets) -> None:
    straight = path("vgg9_seed1", path_x=STRAIGHT, path_y=STRAIGHT)(all_hold)
    number = next(n for n in judge(RULES["path_turns"], straight, targets).numbers if n.unit == "degrees")
    alone = next(n for n in judge(RULES["path_turns"], all_hold, targets).numbers if n.unit == "degrees")
    assert alone.value is not None and (alone.n, number.n) == (1, 2)
    assert number.value == pytest.approx(alone.value / 2) and number.spread == pytest.approx(alone.value / 2**0.5)
    lost = judge(RULES["path_turns"], path("vgg9_seed1", drops=())(all_hold), targets)
    assert lost.verdict == "holds" and "a drop of the learning rate on the trajectory vgg9_seed1" in lost.detail


def test_one_radius_beyond_its_range_makes_the_mean_a_lower_bound(all_hold: Results, targets: Targets) -> None:
    owners = {**all_hold.profiles, "vgg9_seed1": replace(all_hold.profiles["vgg9"], name="vgg9_seed1")}
    some = with_cut(replace(all_hold, profiles=owners), "vgg9_seed1", "filter", make_profile(9.0))
    found = judge(RULES["a2_layer_norm_fails"], some, targets)
    radius = {n.label: n for n in found.numbers if n.label.endswith("radius, filter")}
    assert radius["vgg9: radius, filter"].bound == "at least"
    assert radius["vgg9_large: radius, filter"].bound == ""


def test_a_diverged_network_does_not_train(all_hold: Results, targets: Targets) -> None:
    done = all_hold.runs["resnet158_noshort"]
    final = dict.fromkeys(done.info["final"])
    wild = replace(done, info={**done.info, "status": "diverged", "final": final})
    found = judge(RULES["noshort156_untrainable"], replace(all_hold, runs={**all_hold.runs, done.name: wild}), targets)
    assert (found.verdict, found.detail) == ("holds", "resnet158_noshort diverged; one seed")
    error = next(number for number in found.numbers if number.label == "resnet158_noshort: training error")
    assert error.text == "diverged"


def test_a_level_beyond_the_range_counts_as_above(all_hold: Results, targets: Targets) -> None:
    found = judge(RULES["init_below_2_5"], all_hold, targets)
    level = next(n for n in found.numbers if n.label == "resnet20: lowest loss without convexity")
    assert (level.value, found.verdict) == (None, "holds")
    unknown = with_sharpness(all_hold, "resnet20", beyond=[])
    assert judge(RULES["init_below_2_5"], unknown, targets).detail == "no nonconvex level of resnet20"


@pytest.mark.parametrize(
    ("cut", "words"), [("layer", "layer normalization ranks no"), ("none_enlarged", "no normalization")]
)
def test_the_other_normalizations_must_fail_somewhere(
    all_hold: Results, targets: Targets, cut: str, words: str
) -> None:
    right = {name: 0.5 - 3 * run.info["final"]["test_error"] for name, run in all_hold.runs.items() if "vgg9" in name}
    found = judge(RULES["a2_layer_norm_fails"], cuts(cut, right)(all_hold), targets)
    assert found.verdict == "does not hold"
    assert words in found.detail


def test_without_the_adam_runs_the_others_decide(all_hold: Results, targets: Targets) -> None:
    some = without(all_hold, "runs", *(name for name in all_hold.runs if "adam" in name))
    found = judge(RULES["a2_layer_norm_fails"], some, targets)
    assert found.verdict == "holds"
    assert "left out: run vgg9_adam is not there" in found.detail
    found = judge(RULES["small_batch_generalizes"], some, targets)
    assert "not compared: vgg9_adam and vgg9_adam_large" in found.detail


@pytest.mark.parametrize(
    ("captured", "verdict", "words"),
    [
        ((0.87, 0.91, 0.95), "does not hold", "vgg9_nowd: more than 90 %; vgg9_nowd: 90 % lies within the spread of 3"),
        ((0.91, 0.88, 0.85), "holds", "vgg9_nowd: 90 % lies within the spread of 3 seeds"),
        ((0.37, 0.38, 0.42), "does not hold", "vgg9_nowd: less than 40 %; vgg9_nowd: 40 % lies within the spread of 3"),
    ],
)
def test_the_mean_over_seeds_decides_on_what_two_directions_hold(
    captured: tuple[float, ...], verdict: str, words: str, all_hold: Results, targets: Targets
) -> None:
    names = ("vgg9_nowd", "vgg9_nowd_seed1", "vgg9_nowd_seed2")
    some = all_hold
    for name, share in zip(names, captured, strict=True):
        some = path(name, (share - 0.1, 0.1))(some)
    found = judge(RULES["sec7_pca_two_dims"], some, targets)
    assert found.verdict == verdict
    assert words in found.detail
    [number] = [number for number in found.numbers if number.label.startswith("vgg9_nowd:")]
    assert (number.n, number.value) == (3, pytest.approx(100 * np.mean(captured)))
    assert number.spread == pytest.approx(100 * np.std(captured, ddof=1))


def test_a_path_of_another_seed_that_is_not_there_is_named(all_hold: Results, targets: Targets) -> None:
    gone = {**all_hold.trajectories, "vgg9_seed1": Descent("vgg9_seed1", {"status": "skipped"}, None, None)}
    found = judge(RULES["sec7_pca_two_dims"], replace(all_hold, trajectories=gone), targets)
    assert (found.verdict, "left out: no trajectory vgg9_seed1" in found.detail) == ("holds", True)
