"""Surface files of Li et al.'s program: as it writes and reads them, and as we do."""

import h5py
import numpy as np
import pytest

from exports.cases import X, Y, bowl, holed, line, plane, sampled
from lossatlas.exports import export, read_result
from lossatlas.exports.li_surfaces import read_li_surface, write_li_surface
from lossatlas.results import VALUES, Line, Plane


def filled(path, x, y, loss, *, skipped=()):
    """A file as the program fills it: shape (nx, ny), the k-th number being that of the k-th point with x inside."""
    losses, accuracies = -np.ones((len(x), len(y))), -np.ones((len(x), len(y)))
    points = [(a, b) for b in y for a in x]
    for k, (a, b) in enumerate(points):
        if k not in skipped:
            losses.ravel()[k], accuracies.ravel()[k] = loss(a, b), 100 * (0.9 - loss(a, b) / 20)
    with h5py.File(path, "w") as file:
        file["dir_file"] = "net_weights_xnorm=filter.h5"
        file["xcoordinates"], file["ycoordinates"] = x, y
        file["train_loss"], file["train_acc"] = losses, accuracies


@pytest.mark.parametrize("y", [Y, np.linspace(0, 1, 5)], ids=["5x3", "5x5"])
def test_a_surface_of_the_program_is_read_with_x_along_the_first_axis(y, tmp_path):
    filled(tmp_path / "s.h5", X, y, bowl)
    found = read_li_surface(tmp_path / "s.h5")
    assert isinstance(found, Plane) and found.train_loss.shape == (5, len(y))
    assert np.array_equal(found.train_loss, bowl(*np.meshgrid(X, y, indexing="ij")))
    np.testing.assert_allclose(found.train_accuracy, 0.9 - found.train_loss / 20, rtol=1e-14)  # percent there
    assert np.isnan(found.test_loss).all() and found.computed.all() and found.note == ""
    assert found.provenance == {"format": "loss-landscape", "direction_file": "net_weights_xnorm=filter.h5"}


def test_its_mark_of_missing_points_becomes_a_mask(tmp_path):
    filled(tmp_path / "s.h5", X, Y, bowl, skipped=(7, 14))
    found = read_li_surface(tmp_path / "s.h5")
    # x inside: the 7th is x[2] of y[1], the 14th the last
    assert np.argwhere(~found.computed).tolist() == [[2, 1], [4, 2]]
    assert np.isnan(found.train_loss[~found.computed]).all() and np.isnan(found.train_accuracy[~found.computed]).all()
    assert found.note == "points not computed: 2"


def test_a_test_loss_that_was_only_begun_hides_no_training_loss(tmp_path):
    filled(tmp_path / "s.h5", X, Y, bowl, skipped=(14,))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        begun = -np.ones((5, 3))
        begun.ravel()[:2] = 1.0  # x[0] and x[1] of y[0]
        file["test_loss"], file["test_acc"] = begun, 50 * begun
    found = read_li_surface(tmp_path / "s.h5")
    assert np.isfinite(found.train_loss).sum() == 14 and np.argwhere(~found.computed).tolist() == [[4, 2]]
    assert np.argwhere(np.isfinite(found.test_loss)).tolist() == [[0, 0], [1, 0]]
    assert found.test_accuracy[0, 0] == 0.5
    assert found.note == "points not computed: 1; points without test loss: 12"


@pytest.mark.parametrize("y", [Y, np.linspace(0, 1, 5)], ids=["5x3", "5x5"])
def test_a_surface_is_written_as_the_program_fills_it(y, tmp_path):
    write_li_surface(tmp_path / "ours.h5", plane(y=y), direction_file="net_weights_xnorm=filter.h5")
    filled(tmp_path / "theirs.h5", X, y, bowl)
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "theirs.h5") as theirs:
        assert set(ours) == {*theirs, "test_loss", "test_acc"}
        assert ours["dir_file"][()] == theirs["dir_file"][()]
        for name in ("xcoordinates", "ycoordinates", "train_loss"):
            assert np.array_equal(ours[name], theirs[name])
        np.testing.assert_allclose(ours["train_acc"], theirs["train_acc"], rtol=1e-14)
        # as the program plots it: contours over meshgrid(x, y), whose rows are y
        rows = np.asarray(ours["train_loss"]).reshape(len(y), len(X))
        assert np.array_equal(rows, bowl(*np.meshgrid(X, y)))


@pytest.mark.parametrize("made", [plane, holed, sampled, line])
def test_round_trip(made, tmp_path):
    before = made()
    after = read_result(export(before, tmp_path / "s.h5"))
    assert type(after) is (Line if made is line else Plane)
    axes = ("alpha",) if made is line else ("x", "y")
    for name in (*axes, "computed", *VALUES):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-15)  # percent and back rounds
    assert np.array_equal(after.train_loss, before.train_loss, equal_nan=True)


def test_lines_have_no_second_coordinate_and_what_was_not_evaluated_is_not_there(tmp_path):
    with h5py.File(export(line(), tmp_path / "s.h5")) as file:
        assert set(file) == {"dir_file", "xcoordinates", "train_loss", "train_acc"}
        assert file["train_loss"].shape == (4,)


def test_results_of_our_own_are_not_written_over(tmp_path):
    plane().save(tmp_path / "own.h5")
    before = (tmp_path / "own.h5").read_bytes()
    with pytest.raises(ValueError, match="own.h5 is a result of this program"):
        export(plane(), tmp_path / "own.h5")
    assert (tmp_path / "own.h5").read_bytes() == before
    for _ in range(2):  # a surface file is
        export(plane(), tmp_path / "s.h5")


def test_same_plane_same_bytes(tmp_path):
    first, second = (export(plane(), tmp_path / f"{name}.h5").read_bytes() for name in "ab")
    assert first == second


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.h5 does not exist"):
        read_li_surface(tmp_path / "none.h5")
    plane().save(tmp_path / "own.h5")
    with pytest.raises(ValueError, match="own.h5 is damaged or no surface file of Li et al.'s program"):
        read_li_surface(tmp_path / "own.h5")
    filled(tmp_path / "s.h5", X, Y, bowl)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        del file["ycoordinates"]
        file["ycoordinates"] = np.arange(4.0)
    with pytest.raises(ValueError, match=r"train_loss has the shape \(5, 3\), the coordinates give \(5, 4\)"):
        read_li_surface(tmp_path / "s.h5")


def test_a_file_without_any_losses_is_a_plane_that_is_not_computed(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["xcoordinates"], file["ycoordinates"] = X, Y
        file.attrs["dir_file"] = "elsewhere.h5"
    found = read_li_surface(tmp_path / "s.h5")
    assert not found.computed.any() and np.isnan(found.train_loss).all() and found.note == "points not computed: 15"
    assert found.provenance["direction_file"] == "elsewhere.h5"
