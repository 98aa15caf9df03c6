import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize

from lossatlas.report.figures.alone import along_figure, quantity, surface_figure, wide
from lossatlas.report.single import plot
from lossatlas.results import HessianMap, Line, Plane


def surface(losses, **provenance):
    losses = np.asarray(losses, dtype=float)
    x, y = (np.linspace(-1, 1, n) for n in losses.shape)
    nothing = np.full(losses.shape, np.nan)
    return Plane(
        x=x,
        y=y,
        train_loss=losses,
        train_accuracy=nothing,
        test_loss=nothing,
        test_accuracy=nothing,
        computed=np.ones(losses.shape, dtype=bool),
        provenance=provenance,
    )


def bar(figure):
    return figure.axes[1]


def test_a_narrow_range_is_linear_and_a_wide_one_logarithmic():
    narrow, broad = (surface(np.linspace(1, high, 12).reshape(4, 3)) for high in (1.5, 90))
    assert not wide(narrow.train_loss) and wide(broad.train_loss)
    norms = [type(surface_figure(found).axes[0].collections[0].norm) for found in (narrow, broad)]
    assert norms == [Normalize, LogNorm]


@pytest.mark.parametrize(
    "losses",
    [
        np.linspace(-2, 1, 12).reshape(4, 3),
        np.zeros((3, 3)),
        [[1.0, np.nan], [np.inf, 2.0]],
        np.full((2, 2), np.nan),
        [[1.0, 2.0, 3.0]],
        [[5.0]],
        np.geomspace(1e-8, 1e30, 9).reshape(3, 3),
    ],
)
def test_every_surface_can_be_drawn(losses, tmp_path):
    plot(surface(losses), title="net").savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_surface_is_not_transposed():
    losses = np.zeros((4, 3))
    losses[3, 0] = 1.0
    drawn = surface_figure(surface(losses)).axes[0].collections[0]
    high = [path for path, level in zip(drawn.get_paths(), drawn.levels, strict=False) if level >= 0.9]
    points = np.concatenate([path.vertices for path in high if len(path.vertices)])
    assert points[:, 0].min() > 0.8 and points[:, 1].max() < -0.8


@pytest.mark.parametrize(
    ("provenance", "text"),
    [
        ({}, "loss, nats per example"),
        ({"loss": "mse"}, "loss (mse)"),
        ({"loss": "make.<locals>.inner"}, "loss (inner)"),
        ({"loss": "make.<locals>.<lambda>"}, "loss"),
        ({"loss": "MSELoss()"}, "loss"),
    ],
)
def test_the_loss_has_its_name(provenance, text):
    found = surface([[1.0, 2.0], [3.0, 4.0]], **provenance)
    assert quantity(found) == text and bar(surface_figure(found)).get_ylabel() == f"training {text}"


def test_a_line_shows_what_there_is():
    alpha, nothing = np.linspace(-1, 1, 5), np.full(5, np.nan)
    values = {"train_loss": alpha**2 + 1, "train_accuracy": nothing, "test_loss": nothing, "test_accuracy": nothing}
    alone = along_figure(Line(alpha=alpha, **values, computed=np.ones(5, dtype=bool)))
    assert len(alone.axes) == 1 and [line.get_label() for line in alone.axes[0].lines] == ["train loss"]
    values |= {"train_accuracy": np.linspace(0, 1, 5), "test_loss": 50 * values["train_loss"]}
    both = plot(Line(alpha=alpha, **values, computed=np.ones(5, dtype=bool)), title="net")
    assert [line.get_label() for axes in both.axes for line in axes.lines] == [
        "train loss",
        "test loss",
        "train accuracy",
    ]
    assert both.axes[0].get_yscale() == "log"


def test_a_map_of_eigenvalues():
    one = np.ones((2, 2))
    found = HessianMap(
        x=np.arange(2.0),
        y=np.arange(2.0),
        lambda_max=one,
        lambda_min=-0.1 * one,
        residual_max=0 * one,
        residual_min=0 * one,
        products=one.astype(int),
        converged=one.astype(bool),
        computed=one.astype(bool),
    )
    assert plot(found, title="net").axes[0].get_title() == "net"
