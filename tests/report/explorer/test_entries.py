from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explorer_cases import EPOCHS, explorer_results

from lossatlas.report.explorer.entries import GROUPS, entries
from lossatlas.report.explorer.packing import unpack


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in entries(explorer_results())}


def test_every_surface_is_there_by_group(found: dict[str, Any]) -> None:
    assert list(found) == [
        *(f"plane/{name}" for name in ("resnet20", "resnet56", "vgg9")),
        "trajectory/vgg9",
        "plane3/vgg16_bezier",
        "plane3/vgg16_sse",
    ]
    assert {entry["group"] for entry in found.values()} == set(GROUPS.values())


def test_rows_of_values_are_those_of_y(found: dict[str, Any]) -> None:
    entry, plane = found["plane/resnet20"], explorer_results().planes["resnet20"].plane
    assert plane is not None
    values = unpack(entry["frames"][-1]["quantities"]["train_loss"]["values"])
    assert values.shape == (len(plane.y), len(plane.x)) == (13, 15)
    np.testing.assert_allclose(values, plane.train_loss.T, rtol=1e-6)
    np.testing.assert_allclose(unpack(entry["x"]), plane.x, rtol=1e-6)


def test_errors_are_percent(found: dict[str, Any]) -> None:
    plane = explorer_results().planes["resnet20"].plane
    assert plane is not None
    values = unpack(found["plane/resnet20"]["frames"][-1]["quantities"]["test_error"]["values"])
    np.testing.assert_allclose(values, 100 * (1 - plane.test_accuracy.T), rtol=1e-5, atol=1e-5)


def test_epochs_on_the_same_grid_are_frames_in_order_of_time(found: dict[str, Any]) -> None:
    frames = found["plane/resnet20"]["frames"]
    assert [frame["epoch"] for frame in frames][:2] == list(EPOCHS)
    assert len(frames) == 3 and frames[-1]["epoch"] > max(EPOCHS)
    corner = [unpack(frame["quantities"]["train_loss"]["values"])[0, 0] for frame in frames]
    assert corner[:2] == [0.0, 4.0]
    assert all(len(entry["frames"]) == 1 for name, entry in found.items() if name != "plane/resnet20")


def test_estimates_have_errors_and_counts_and_exact_values_have_none(found: dict[str, Any]) -> None:
    sampled, exact = (found[f"plane/{name}"]["frames"][0] for name in ("resnet56", "vgg9"))
    assert sampled["sampled"] and not exact["sampled"]
    loss, error = (sampled["quantities"][name] for name in ("train_loss", "test_error"))
    assert (unpack(loss["se"]) == np.float32(0.02)).all() and (unpack(loss["n"]) == 96).all()
    assert (unpack(error["se"]) == np.float32(2.0)).all()
    assert set(exact["quantities"]["train_loss"]) == {"values"}
    assert sampled["images"] == {"train": 256, "test": 128}


def test_values_that_are_not_finite_are_holes(found: dict[str, Any]) -> None:
    values = unpack(found["plane/vgg9"]["frames"][0]["quantities"]["train_loss"]["values"])
    assert np.isnan(values[1, 0]) and np.isnan(values[0, 2]) and np.isnan(values).sum() == 2


def test_a_quantity_without_values_is_left_out() -> None:
    results = explorer_results()
    plane = results.planes["vgg9"].plane
    assert plane is not None
    nothing = np.full_like(plane.test_loss, np.nan)
    blind = replace(results.planes["vgg9"], plane=replace(plane, test_loss=nothing, test_accuracy=nothing))
    (entry,) = [e for e in entries(replace(results, planes={"vgg9": blind})) if e["id"] == "plane/vgg9"]
    assert set(entry["frames"][0]["quantities"]) == {"train_loss", "train_error"}


def test_eigenvalues_keep_their_residuals(found: dict[str, Any]) -> None:
    results = explorer_results()
    hessian = results.hessians["resnet20"].map
    assert hessian is not None
    packed = found["plane/resnet20"]["eigenvalues"]
    points = {name: unpack(values) for name, values in packed.items()}
    assert {len(values) for values in points.values()} == {hessian.lambda_max.size}
    place = hessian.lambda_max.shape[1] * 2 + 3
    assert points["x"][place] == np.float32(hessian.x[2]) and points["y"][place] == np.float32(hessian.y[3])
    np.testing.assert_allclose(points["min"][place], hessian.lambda_min[2, 3], rtol=1e-6)
    np.testing.assert_allclose(points["min_residual"][place], hessian.residual_min[2, 3], rtol=1e-6)
    assert all(entry["eigenvalues"] is None for name, entry in found.items() if name != "plane/resnet20")


def test_paths_and_marked_points_have_names(found: dict[str, Any]) -> None:
    path = explorer_results().trajectories["vgg9"].trajectory
    assert path is not None
    (drawn,) = found["trajectory/vgg9"]["paths"]
    np.testing.assert_allclose(unpack(drawn["x"]), path.path_x, rtol=1e-6)
    assert drawn["labels"][0] == f"epoch {path.epoch[0]}"
    assert any(label.endswith("then the rate drops") for label in drawn["labels"])
    curve, points = found["plane3/vgg16_bezier"]["paths"]
    assert curve["line"] and curve["name"] == "curve bezier" and curve["labels"][0].startswith("t = 0")
    assert points["labels"] == ["seed 0", "seed 1", "bend"] and not points["line"]


def test_nothing_computed_is_no_entries() -> None:
    empty = replace(explorer_results(), planes={}, moments={}, trajectories={}, planes3={})
    assert entries(empty) == []
