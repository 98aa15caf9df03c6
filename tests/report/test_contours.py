from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from synthetic_report import bowl, make_plane

from lossatlas.report.figures.contours import Panel, contour_figure
from lossatlas.report.figures.scale import CAP, DECADES, LossScale, log_loss, loss_scale
from lossatlas.report.figures.style import png
from lossatlas.report.figures.surfaces import surface_figure
from lossatlas.results import Plane


def panel(plane: Plane | None, absent: str = "") -> Panel:
    return Panel("A network", "1.00 %", plane, absent)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def filled(axes: Axes) -> QuadContourSet:
    return next(item for item in axes.collections if isinstance(item, QuadContourSet) and item.filled)


def test_a_grid_that_is_not_square_is_not_transposed() -> None:
    plane = make_plane(13, 7, loss=lambda x, y: 0.1 + 5 * (x - 0.5) ** 2 + 0.01 * y**2)
    scale = loss_scale([plane])
    figure = contour_figure([[panel(plane)]], scale=scale)
    contours = filled(figure.axes[0])
    lowest = next(path for path in contours.get_paths() if len(path.vertices) and np.ptp(path.vertices) > 1)
    x, y = lowest.vertices.mean(axis=0)
    assert x == pytest.approx(0.5, abs=0.05)  # the valley lies at x = 0.5 and runs along y
    assert y == pytest.approx(0.0, abs=0.1)
    reach = np.ptp(lowest.vertices, axis=0)
    assert reach[1] == pytest.approx(2.0)
    assert reach[0] < 1.0


def test_the_surface_keeps_its_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = make_plane(9, 5, loss=lambda x, y: 1 + 10 * (x > 0.7) + 0 * y)
    drawn = []
    monkeypatch.setattr(Axes3D, "plot_surface", lambda axes, *grids, **options: drawn.append((*grids, options)))
    surface_figure([panel(plane)], scale=loss_scale([plane]))
    xs, ys, heights, options = drawn[0]
    assert np.array_equal(xs[:, 0], plane.x)
    assert np.array_equal(ys[0], plane.y)
    assert np.allclose(10**heights, plane.train_loss)
    assert options["facecolors"].shape == (9, 5, 4)
    assert (options["rcount"], options["ccount"]) == (9, 5)


def test_all_panels_use_one_norm() -> None:
    planes = [make_plane(), make_plane(loss=lambda x, y: 40 * bowl(x, y))]
    scale = loss_scale(planes)
    figure = contour_figure(
        [[panel(plane) for plane in planes], [panel(None, "not run"), panel(planes[0])]], scale=scale
    )
    norms = [filled(figure.axes[i]).norm for i in (0, 1, 3)]
    assert all(norm is scale.norm for norm in norms)
    assert all(np.array_equal(filled(figure.axes[i]).levels, scale.levels) for i in (0, 1, 3))


@pytest.mark.parametrize("text", ["not run", "diverged", "skipped:\nthe run diverged"])
def test_a_missing_plane_is_an_empty_frame_with_words(text: str) -> None:
    for figure in (
        contour_figure([[panel(None, text)]], scale=LossScale(-1, 1)),
        surface_figure([panel(None, text)], scale=LossScale(-1, 1)),
    ):
        assert text in texts(figure)
        assert not figure.axes[0].collections
        png(figure)


def test_values_that_cannot_be_drawn_are_masked_and_huge_ones_share_the_last_colour() -> None:
    def wild(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        values = bowl(x, y)
        values[0, :] = np.nan
        values[-1, :3] = np.inf
        values[-2, :] = 1e10
        values[1, 1] = 0.0
        return values

    plane = make_plane(loss=wild)
    scale = loss_scale([plane])
    logs = log_loss(plane.train_loss, scale=scale)
    assert np.array_equal(np.ma.getmaskarray(logs), ~np.isfinite(plane.train_loss))
    assert logs[1, 1] == pytest.approx(scale.low)
    assert scale.high == CAP
    assert scale.extend == "max"
    figure = contour_figure([[panel(plane)]], scale=scale, initialization=2.5)
    assert "no finite value" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert png(figure)
    assert png(surface_figure([panel(plane)], scale=scale, log_z=True))
    assert png(surface_figure([panel(plane)], scale=scale, log_z=False))


def test_a_plane_without_any_finite_value_is_drawn_grey() -> None:
    plane = make_plane(loss=lambda x, y: np.full_like(x + y, np.nan))
    figure = contour_figure([[panel(plane)]], scale=loss_scale([plane]), initialization=2.5)
    assert png(figure)
    assert png(surface_figure([panel(plane)], scale=loss_scale([plane])))


def test_a_level_that_is_not_reached_is_no_warning() -> None:
    plane = make_plane(loss=lambda x, y: 0.5 + 0 * x + 0 * y)
    assert png(contour_figure([[panel(plane)]], scale=loss_scale([plane]), initialization=2.5))


def test_the_scale_covers_the_planes_within_its_caps() -> None:
    tame = loss_scale([make_plane()])
    assert 10**tame.low <= make_plane().train_loss.min() <= make_plane().train_loss.max() <= 10**tame.high
    assert tame.extend == "neither"
    wild = loss_scale([make_plane(loss=lambda x, y: 10 ** (-12 + 11 * (x + 1) + 0 * y))])
    assert (wild.low, wild.high, wild.extend) == (CAP - DECADES, CAP, "both")
    assert np.allclose(np.diff(wild.levels), np.diff(wild.levels)[0])
    assert (loss_scale([]).low, loss_scale([]).high) == (CAP - 3, CAP - 1)


@pytest.mark.parametrize(
    ("low", "high", "ends", "ticks"),
    [
        (1.05, 2.4, (0.0, 0.4), ["1", "1.25", "1.5", "2", "2.5"]),
        (2.0, 2.0, (0.1, 0.4), ["1.5", "2", "2.5"]),  # a plane without slope
        (0.4, 3.0, (-0.4, 0.5), ["0.5", "0.7", "1", "1.5", "2", "3"]),
        (0.4, 5.0, (-0.5, 1.0), ["0.5", "1", "2", "5", "10"]),  # more than a decade: ends at halves
    ],
)
def test_losses_of_one_size_are_told_apart(
    low: float, high: float, ends: tuple[float, float], ticks: list[str]
) -> None:
    scale = loss_scale([make_plane(loss=lambda x, y: low + (high - low) * (x + 1) / 2 + 0 * y)])
    assert (scale.low, scale.high) == pytest.approx(ends)
    assert len(scale.levels) > 10
    assert [scale.labels(value, 0) for value in scale.ticks()] == ticks


def test_one_picture_has_one_sequence_of_bytes() -> None:
    def draw() -> bytes:
        plane = make_plane()
        return png(contour_figure([[panel(plane), panel(None, "not run")]], scale=loss_scale([plane])))

    first = draw()
    assert first == draw()
    assert b"Software" not in first
    assert b"matplotlib" not in first
