import numpy as np
import pytest

from lossatlas.landscape.coarse import CoarseGrid
from lossatlas.landscape.coarse_corners import Corners

X, Y = np.linspace(-1, 1, 11), np.linspace(0, 3, 8)


def test_every_kth_point_with_the_ends():
    grid = CoarseGrid(X, Y, (5,))
    assert grid.marks == ([0, 5, 10], [0, 5, 7])
    assert len(grid) == 9
    assert (5, 7) in grid and (5, 6) not in grid and (4, 5) not in grid


def test_a_second_step_divides_each_cell():
    grid = CoarseGrid(X, Y, (5, 2))
    assert grid.marks == ([0, 2, 4, 5, 7, 9, 10], [0, 2, 4, 5, 7])
    for place in [(i, j) for i in (0, 5, 10) for j in (0, 5, 7)]:
        assert place in grid


def test_a_step_of_one_is_the_whole_grid_and_a_large_one_its_corners():
    assert len(CoarseGrid(X, Y, (1,))) == 88
    assert len(CoarseGrid(X, Y, (99,))) == 4


@pytest.mark.parametrize("steps", [(1,), (3,), (5,), (99,), (5, 2), (7, 3)])
def test_weights_reproduce_bilinear_functions(steps):
    grid = CoarseGrid(X**3, Y, steps)  # coordinates that are not equally spaced

    def value(i, j):
        return 2 - X[i] ** 3 + 3 * Y[j] + 4 * X[i] ** 3 * Y[j]

    for i in range(11):
        for j in range(8):
            cell = grid.cell((i, j))
            assert len(set(cell.corners)) == 4 and all(corner in grid for corner in cell.corners)
            assert cell.weights.min() >= 0 and cell.weights.sum() == pytest.approx(1)
            assert sum(w * value(*c) for w, c in zip(cell.weights, cell.corners, strict=True)) == pytest.approx(
                value(i, j)
            )


def test_an_axis_of_one_point_has_no_cells():
    grid = CoarseGrid(X[:1], Y, (5,))
    assert len(grid) == 3
    cell = grid.cell((0, 6))
    assert cell.corners == ((0, 5), (0, 7)) and cell.weights.tolist() == pytest.approx([0.5, 0.5])
    assert CoarseGrid(X[:1], Y[:1], (5,)).cell((0, 0)).corners == ((0, 0),)


def test_equal_coordinates_are_no_division_by_zero():
    assert np.isfinite(CoarseGrid(np.zeros(3), Y, (2,)).cell((1, 1)).weights).all()


def counted():
    asked = []

    def measure(place, start, stop):
        asked.append(place)
        return np.full((2, stop - start), place[0] + place[1] / 10)

    return measure, asked


def test_corners_are_computed_once_and_rows_forgotten(tmp_path):
    measure, asked = counted()
    corners = Corners(6, measure, folder=tmp_path, stem="a")
    for row in (0, 1, 2):
        corners.keep({row, row - 1})
        for _ in range(2):
            assert corners[row, 3].values.tolist() == [[row + 0.3] * 6] * 2
    assert asked == [(0, 3), (1, 3), (2, 3)]
    assert corners.rows == (1, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1-3.npy", "a-2-3.npy"]
    # what a run that was killed has left
    again = Corners(6, measure, folder=tmp_path, stem="a")
    assert again[2, 3].means == pytest.approx([2.3, 2.3]) and len(asked) == 3
    again.clear()
    assert not list(tmp_path.iterdir())


def test_means_over_the_images_of_a_finer_grid():
    corners = Corners(4, lambda place, start, stop: np.arange(8.0).reshape(2, 4)[:, start:stop], inner=2)
    assert corners[0, 0].means.tolist() == [1.5, 5.5]
    assert corners[0, 0].squares.tolist() == [3.5, 31.5]
    assert corners[0, 0].inner.tolist() == [0.5, 4.5]
