"""Surfaces as meshes: where the points lie, what is left out, and how the height is made."""

import numpy as np
import pytest

from exports.cases import X, Y, bowl, hessian, holed, line, plane, sampled
from lossatlas.exports.mesh import quantities, surface_mesh
from lossatlas.results import SAMPLED, VALUES


def test_points_lie_where_the_grid_says():
    mesh = surface_mesh(plane())
    x, y, z = mesh.points.T
    assert len(x) == 15 and len(mesh.cells) == 8
    np.testing.assert_allclose(z, bowl(x, y), rtol=1e-15)
    # x along the first axis: the second point is the next along y
    assert mesh.points[:4, :2].tolist() == [[-1, 0], [-1, 0.5], [-1, 1], [-0.5, 0]]
    for name in VALUES:
        assert np.array_equal(mesh.values[name], getattr(plane(), name).ravel())


@pytest.mark.parametrize("order", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_normals_point_up_in_whatever_order_the_axes_come(order):
    mesh = surface_mesh(plane(X[:: order[0]], Y[:: order[1]]))
    corners = mesh.points[mesh.triangles]
    up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # the triangles cover the rectangle once
    assert (up[:, 2] > 0).all() and up[:, 2].sum() / 2 == pytest.approx(2.0)
    np.testing.assert_allclose(mesh.points[:, 2], bowl(*mesh.points[:, :2].T), rtol=1e-15)


def test_points_without_a_finite_height_are_holes():
    mesh = surface_mesh(holed())
    places = {(x, y) for x, y in mesh.points[:, :2].tolist()}
    assert {(x, y) for x in X for y in Y} - places == {(-0.5, 0.5), (1.0, 1.0)}
    # four cells about the inner one, one at the corner
    assert len(mesh.cells) == 8 - 4 - 1
    assert mesh.cells.max() < len(mesh.points) == 13
    np.testing.assert_allclose(mesh.points[:, 2], bowl(*mesh.points[:, :2].T), rtol=1e-15)
    assert set(mesh.values) == {"train_loss", "train_accuracy", "log10_train_loss"}  # nothing without a value


def test_logarithm_cap_and_scale_of_the_height():
    loss = plane().train_loss.ravel()
    mesh = surface_mesh(plane(), log=True, cap=2.0, scale=0.5)
    np.testing.assert_allclose(mesh.points[:, 2], 0.5 * np.log10(np.minimum(loss, 2)), rtol=1e-15)
    assert mesh.value == "log10_train_loss"
    np.testing.assert_allclose(mesh.values["log10_train_loss"], np.log10(loss), rtol=1e-15)  # values are not cut off
    fitted = surface_mesh(plane(), scale="fit").points[:, 2]
    assert np.ptp(fitted) == pytest.approx(1.0)  # half of the longer side
    np.testing.assert_allclose(fitted / loss, fitted[0] / loss[0], rtol=1e-13)
    flat = surface_mesh(plane(train_loss=np.ones((5, 3))), scale="fit")
    assert (flat.points[:, 2] == 1).all()


def test_a_capped_infinity_is_still_a_hole_below_no_cap_and_a_plateau_with_one():
    assert len(surface_mesh(holed()).points) == 13
    capped = surface_mesh(holed(), cap=3.0)
    assert len(capped.points) == 14 and capped.points[:, 2].max() == 3.0


def test_zeros_have_the_height_of_the_lowest_positive_value_in_the_logarithm():
    loss = plane().train_loss.copy()
    loss[2, 0] = 0.0
    mesh = surface_mesh(plane(train_loss=loss), log=True)
    assert mesh.points[6, 2] == mesh.points[:, 2].min() == np.log10(loss[loss > 0].min())


def test_quantities_of_sampled_planes_and_hessian_maps():
    assert set(SAMPLED) < set(quantities(sampled()))
    mesh = surface_mesh(hessian(), log=True)
    x, y, z = mesh.points.T
    np.testing.assert_allclose(z, np.log10(0.1 * (y + 1) / (4 + x)), rtol=1e-13)
    np.testing.assert_allclose(mesh.values["ratio"], 10**z, rtol=1e-13)
    np.testing.assert_allclose(surface_mesh(hessian(), value="lambda_min").points[:, 2], -0.1 * (y + 1), rtol=1e-15)


@pytest.mark.parametrize(
    ("result", "options", "message"),
    [
        (
            plane(),
            {"value": "loss"},
            "value = 'loss' is not there or has no finite number; allowed: train_loss, train_acc",
        ),
        (holed(), {"value": "test_loss"}, "value = 'test_loss' is not there or has no finite number"),
        (plane(), {"scale": 0}, "scale = 0 is impossible; allowed: a positive number, or 'fit'"),
        (plane(), {"scale": np.nan}, "scale = nan is impossible"),
        (plane(y=Y[:1]), {}, "the plane has 5 x 1 points; a surface needs at least 2 along both axes"),
        (hessian(), {"value": "lambda_min", "log": True}, "heights go down to -0.2, which has no logarithm"),
        (plane(train_loss=np.where(X[:, None] * Y == 0, 1, np.nan)), {}, "no four neighbouring points of train_loss"),
    ],
)
def test_refusals_say_what_is_allowed(result, options, message):
    with pytest.raises(ValueError, match=message):
        surface_mesh(result, **options)


def test_lines_are_no_surfaces(tmp_path):
    from lossatlas.exports import export

    with pytest.raises(ValueError, match=r"\.vtp files hold surfaces over a plane, not a line; take \.npz or \.nc"):
        export(line(), tmp_path / "line.vtp")
