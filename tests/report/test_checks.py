from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_ensembles import make_ensemble, skipped, with_connections, with_ensemble
from synthetic_report import as_sampled, changed, make_network, make_plane

from lossatlas.files import write_json
from lossatlas.report.artefacts import Results, Run, read_results
from lossatlas.report.checks import Check, checks_passed, checks_record, read_checks, run_checks
from lossatlas.report.targets import Targets


def verdicts(results: Results, targets: Targets, **options: Any) -> dict[str, str]:
    return {check.id: check.verdict for check in run_checks(results, targets, **options)}


def finals(run: Run, **values: float | None) -> dict[str, Any]:
    return {**run.info["final"], **values}


def test_runs_finish_or_not(results: Results, targets: Targets) -> None:
    found = {check.id: check for check in run_checks(results, targets)}
    assert found["finished/resnet20"].verdict == "pass"
    assert found["finished/resnet110"].verdict == "fail"  # planned, not there
    diverged = found["finished/resnet110_noshort"]
    assert (diverged.verdict, diverged.measured, diverged.detail) == ("pass", "diverged", "loss not finite in epoch 4")
    assert verdicts(replace(results, regime="full"), targets)["finished/resnet110_noshort"] == "fail"


def test_parameter_counts(results: Results, targets: Targets) -> None:
    assert verdicts(results, targets)["parameters/resnet20"] == "not run"  # 8 pixels
    count = targets.parameter_count("li2018", "resnet20")
    assert count is not None
    right = changed(results, "resnet20", input_size=32, parameters=count)
    wrong = changed(results, "resnet20", input_size=32, parameters=count + 1)
    thin = changed(results, "resnet20", input_size=32, options={"base_width": 4})
    many = changed(results, "resnet20", input_size=32, num_classes=100)
    found = [verdicts(case, targets)["parameters/resnet20"] for case in (right, wrong, thin, many)]
    assert found == ["pass", "fail", "not run", "not run"]


def test_planes_are_complete_or_not(results: Results, targets: Targets) -> None:
    found = verdicts(results, targets)
    assert found["complete/resnet20"] == "pass"
    assert found["complete/resnet110_noshort"] == "not run"  # skipped: the run diverged
    surface = results.planes["resnet20"]
    assert surface.plane is not None
    computed = surface.plane.computed.copy()
    computed[0, 0] = False
    holed = replace(results, planes={"resnet20": replace(surface, plane=replace(surface.plane, computed=computed))})
    found = verdicts(holed, targets)
    assert found["complete/resnet20"] == "fail"
    assert found["complete/resnet56"] == "fail"  # planned, not there


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "pass"), (1e-6, "pass"), (1e-2, "fail")])
def test_the_centre_is_the_checkpoint(results: Results, targets: Targets, shift: float, verdict: str) -> None:
    surface = results.planes["resnet20"]
    info = {**surface.info, "center_train_loss": surface.info["center_train_loss"] + shift}
    moved = replace(results, planes={**results.planes, "resnet20": replace(surface, info=info)})
    assert verdicts(moved, targets)["centre/resnet20"] == verdict


@pytest.mark.parametrize(
    ("error", "shift", "verdict"),
    [(0.01, 0.03, "pass"), (0.01, 0.05, "fail"), (0.0, 0.001, "fail"), (0.0, 0.0, "pass")],
)
def test_an_estimate_at_the_centre_may_be_off_by_its_standard_errors(
    results: Results, targets: Targets, error: float, shift: float, verdict: str
) -> None:
    surface = results.planes["resnet20"]
    assert surface.plane is not None
    info = {**surface.info, "center_train_loss": surface.info["center_train_loss"] + shift}
    sampled = replace(surface, plane=as_sampled(surface.plane, error=error), info=info)
    moved = replace(results, planes={**results.planes, "resnet20": sampled})
    found = {check.id: check for check in run_checks(moved, targets)}["centre/resnet20"]
    assert found.verdict == verdict
    assert ("4 standard errors of the estimate, 0.04" in found.tolerance) == (error > 0)


@pytest.mark.parametrize(
    ("precision", "shift", "verdict"),
    [("bfloat16", 0.01, "pass"), ("bfloat16", 0.05, "fail"), ("tf32", 0.002, "pass"), ("float32", 0.002, "fail")],
)
def test_the_centre_may_be_off_by_the_rounding_of_its_precision(
    results: Results, targets: Targets, precision: str, shift: float, verdict: str
) -> None:
    surface = results.planes["resnet20"]
    assert surface.plane is not None
    info = {**surface.info, "center_train_loss": surface.info["center_train_loss"] * (1 + shift)}
    coarse = replace(surface, plane=replace(surface.plane, provenance={"precision": precision}), info=info)
    moved = replace(results, planes={**results.planes, "resnet20": coarse})
    found = {check.id: check for check in run_checks(moved, targets)}["centre/resnet20"]
    assert found.verdict == verdict and ("evaluated in" in found.tolerance) == (precision != "float32")


def test_the_centre_on_the_whole_training_set_is_the_runs_loss(results: Results, targets: Targets) -> None:
    assert verdicts(results, targets)["checkpoint/resnet20"] == "not run"  # 1000 of 1437 images
    surface = results.planes["resnet20"]
    whole = replace(surface, info={**surface.info, "samples_train": 1437})
    full = replace(results, planes={**results.planes, "resnet20": whole})
    centre = surface.info["center_train_loss"]
    run = results.runs["resnet20"]
    right = changed(full, "resnet20", final=finals(run, train_loss=centre))
    wrong = changed(full, "resnet20", final=finals(run, train_loss=2 * centre))
    assert verdicts(right, targets)["checkpoint/resnet20"] == "pass"
    assert verdicts(wrong, targets)["checkpoint/resnet20"] == "fail"


def test_a_grid_without_the_origin_has_no_centre(results: Results, targets: Targets) -> None:
    surface = replace(results.planes["resnet20"], plane=make_plane(4, 4))
    even = replace(results, planes={**results.planes, "resnet20": surface})
    assert verdicts(even, targets)["centre/resnet20"] == "not run"


@pytest.mark.parametrize(
    ("quantity", "value", "verdict"),
    [
        ("test_error", 0.0787, "pass"),
        ("test_error", 0.0788, "fail"),
        ("test_error", 0.0688, "pass"),
        ("test_error", None, "not run"),
        ("train_loss", 0.033, "pass"),
        ("train_loss", 0.035, "fail"),
        ("train_loss", 0.008, "fail"),
        ("train_error", 0.0070, "pass"),
        ("train_error", 0.0090, "fail"),
    ],
)
def test_the_full_protocol_is_compared_with_published_numbers(
    results: Results, targets: Targets, quantity: str, value: float | None, verdict: str
) -> None:
    full = replace(results, regime="full")
    full = changed(full, "resnet20", final=finals(full.runs["resnet20"], **{quantity: value}))
    assert verdicts(full, targets)[f"published/resnet20/{quantity}"] == verdict


def test_three_spreads_where_a_paper_repeated_its_runs(results: Results, targets: Targets) -> None:
    full = replace(results, regime="full", planned_runs={"vgg16": {"data": "digits", "title": "VGG-16"}})
    final = finals(results.runs["resnet20"], test_error=0.0722)
    for value, verdict in ((0.0722, "pass"), (0.0725, "fail")):
        run = replace(
            results.runs["resnet20"], info={**results.runs["resnet20"].info, "final": final} | make_network("vgg16")
        )
        run.info["final"]["test_error"] = value
        assert verdicts(replace(full, runs={"vgg16": run}), targets)["published/vgg16/test_error"] == verdict


def test_another_network_under_a_papers_name_is_not_compared(results: Results, targets: Targets) -> None:
    count = targets.parameter_count("li2018", "resnet56")
    other = changed(results, "resnet20", title="ResNet-56", input_size=32, parameters=count, **make_network("resnet56"))
    found = {check.id: check for check in run_checks(replace(other, regime="full"), targets)}
    assert not any(name.startswith("published/resnet20/") for name in found)
    assert "published/resnet56/test_error" in found
    sized = found["parameters/resnet20"]  # the number of parameters is that of the network itself
    assert (sized.verdict, sized.title) == ("pass", "ResNet-56: trainable parameters")


def test_the_full_protocol_needs_the_published_batch_size_of_vgg9(results: Results, targets: Targets) -> None:
    full = replace(results, regime="full")
    assert verdicts(full, targets)["published/vgg9/test_error"] == "fail"  # 7.00 beside 6.00
    small = changed(full, "vgg9", train={**full.runs["vgg9"].train, "batch_size": 32})
    assert "published/vgg9/test_error" not in verdicts(small, targets)


@pytest.mark.parametrize("regime", ["embedded", "shortened"])
def test_other_regimes_are_never_compared_with_published_numbers(
    results: Results, targets: Targets, regime: Any
) -> None:
    assert not any(name.startswith("published/") for name in verdicts(replace(results, regime=regime), targets))


def test_committed_values_of_the_same_preset(results: Results, targets: Targets) -> None:
    runs: dict[str, Any] = {
        "resnet20": {"test_error": 0.085},
        "resnet56": {"test_error": 0.075},
        "resnet110_noshort": {"test_error": None},
        "vgg9": {"test_error": None},
        "gone": {"test_error": 0.1},
    }
    expected = {"preset": "made-up", "tolerance": {"test_error": 0.01}, "runs": runs}
    found = verdicts(results, targets, expected=expected)
    names = ("resnet20", "resnet56", "resnet110_noshort", "vgg9", "gone")
    assert [found[f"expected/{name}"] for name in names] == ["pass", "fail", "pass", "fail", "not run"]
    with pytest.raises(ValueError, match="values are those of preset 'made-up', not 'other'"):
        run_checks(replace(results, preset="other"), targets, expected=expected)


def test_losses_before_the_first_step_are_compared_closely(results: Results, targets: Targets) -> None:
    start = results.runs["resnet20"].initial_loss
    assert start is not None
    tolerance = {"test_error": 1.0, "initial_train_loss": 1e-3}
    for factor, verdict in ((1.0005, "pass"), (1.002, "fail")):
        values = {"test_error": 0.5, "initial_train_loss": factor * start}
        expected = {"preset": "made-up", "tolerance": tolerance, "runs": {"resnet20": values}}
        assert verdicts(results, targets, expected=expected)["expected/resnet20/start"] == verdict


def test_a_list_passes_when_something_holds_and_nothing_fails() -> None:
    holds, fails, idle = Check("a/a", "a", "pass"), Check("a/b", "b", "fail"), Check("a/c", "c", "not run")
    assert checks_passed([holds, idle])
    assert not checks_passed([holds, fails])
    assert not checks_passed([idle])
    assert not checks_passed([])


def test_checks_survive_their_file(results: Results, targets: Targets, tmp_path: Path) -> None:
    checks = run_checks(results, targets)
    write_json(tmp_path / "checks.json", checks_record(checks, results))
    assert read_checks(tmp_path / "checks.json") == checks
    assert len({check.id for check in checks}) == len(checks)
    assert checks_record(checks, results)["runs"]["resnet110_noshort"]["test_error"] is None


@pytest.mark.parametrize(
    "text", ['{"checks": [{"id": "a/a", "ti', "", "{}", "[]", '{"checks": null}', '{"checks": [{}]}']
)
def test_a_damaged_file_of_checks_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "checks.json").write_text(text)
    with pytest.raises(ValueError, match=r"checks\.json holds no readable list of checks .* run `dvc repro`"):
        read_checks(tmp_path / "checks.json")


def test_an_unknown_regime_is_refused() -> None:
    settings = {"preset": "p", "title": "t", "regime": "quick", "runs": {}, "planes": {}}
    with pytest.raises(ValueError, match="regime = 'quick', expected one of embedded, shortened, full"):
        read_results(settings, {})


def test_an_overflow_is_no_hole(results: Results, targets: Targets) -> None:
    surface = results.planes["resnet56"]
    assert surface.plane is not None
    values = surface.plane.train_loss.copy()
    values[0, 0] = np.inf
    wild = replace(surface, plane=replace(surface.plane, train_loss=values))
    checks = run_checks(replace(results, planes={**results.planes, "resnet56": wild}), targets)
    found = next(check for check in checks if check.id == "complete/resnet56")
    assert (found.verdict, found.detail) == ("pass", "1 of them without a finite loss")


def test_curves_planes_cycles_and_ensembles_are_there_or_not(results: Results, targets: Targets) -> None:
    full = with_connections(results)
    found = verdicts(full, targets)
    names = ("complete/curve/vgg16_bezier", "complete/plane3/vgg16_optima", "finished/fge/vgg16_seed1")
    assert [found[name] for name in (*names, "finished/ensemble/vgg16-cifar10-fge")] == ["pass"] * 4
    gone = verdicts(replace(full, curves={}, planes3={}, fges={}, ensembles={}), targets)
    assert [gone[name] for name in (*names, "finished/ensemble/vgg16-cifar10-fge")] == ["fail"] * 4
    lost = with_ensemble(full, "vgg16-cifar10-fge", **skipped("run vgg16 diverged"))
    check = {check.id: check for check in run_checks(lost, targets)}["finished/ensemble/vgg16-cifar10-fge"]
    assert (check.verdict, check.detail) == ("not run", "skipped: run vgg16 diverged")
    assert not any("/curve/" in name for name in verdicts(results, targets))


def test_a_curve_with_a_hole_is_not_complete(results: Results, targets: Targets) -> None:
    full = with_connections(results)
    item = full.curves["vgg16_segment"]
    assert item.losses is not None
    computed = item.losses.computed.copy()
    computed[1, 3] = False
    holed = replace(item, losses=replace(item.losses, computed=computed))
    checks = run_checks(replace(full, curves={**full.curves, item.name: holed}), targets)
    check = {check.id: check for check in checks}["complete/curve/vgg16_segment"]
    assert (check.verdict, check.measured, check.expected) == ("fail", 9, 10)  # two rows of five points


def test_ensembles_are_compared_under_the_full_protocol_only(results: Results, targets: Targets) -> None:
    full = with_connections(replace(results, regime="full"))
    first, *more = targets.content["garipov2018"]["table1_error"]["cifar10"]["vgg16"]["fge"]
    spread = 3 * first[1]
    cases = [
        ([first[0] + 0.99 * spread], [value + 0.49 for value in more], "pass"),
        ([first[0] + 1.01 * spread], [value + 0.51 for value in more], "fail"),
        ([first[0] - 1.01 * spread], [value - 0.51 for value in more], "fail"),
        # the mean counts
        ([first[0] - 2 * spread, first[0] + 2 * spread], more, "pass"),
    ]
    for errors, several, verdict in cases:
        made = make_ensemble("vgg16", "cifar10", "fge", errors, *several)
        found = verdicts(replace(full, ensembles={"vgg16-cifar10-fge": made}), targets)
        assert [found[f"published/vgg16-cifar10-fge/{k}B"] for k in (1, 2, 3)] == [verdict] * 3
        assert found["published/vgg16-cifar10-ind/1B"] == "not run"
    shortened = verdicts(replace(full, regime="shortened"), targets)
    assert not any(name.startswith("published/vgg16-") for name in shortened)


def test_thinner_networks_and_other_data_are_not_compared(results: Results, targets: Targets) -> None:
    full = with_connections(replace(results, regime="full"))
    thin = with_ensemble(full, "vgg16-cifar10-fge", options={**make_network("vgg16")["options"], "base_width": 16})
    found = verdicts(thin, targets)
    assert "published/vgg16-cifar10-ind/2B" in found
    assert "published/vgg16-cifar10-fge/2B" not in found
    other = verdicts(with_connections(replace(results, regime="full"), data="digits"), targets)
    assert not any(name.startswith("published/vgg16-") for name in other)
