"""Profiles and planes of closed forms."""

import numpy as np

from lossatlas.results import Plane, Profile


def grid(nx=25, ny=21, reach=1.0, reach_y=None):
    return np.linspace(-reach, reach, nx), np.linspace(-(reach_y or reach), reach_y or reach, ny)


def surface(function, x=None, y=None, computed=None):
    """A plane whose training loss is `function`; the other values are not looked at."""
    if x is None:
        x, y = grid()
    loss = np.asarray(function(*np.meshgrid(x, y, indexing="ij")), dtype=float)
    other = np.full(loss.shape, np.nan)
    mask = np.ones(loss.shape, dtype=bool) if computed is None else computed
    return Plane(x=x, y=y, train_loss=loss, train_accuracy=other, test_loss=other, test_accuracy=other, computed=mask)


def rows(*functions, alpha=None, curvature=None, computed=None):
    """A profile whose rows are functions of alpha."""
    alpha = np.linspace(-1, 1, 21) if alpha is None else np.asarray(alpha, dtype=float)
    loss = np.array([np.asarray(f(alpha), dtype=float) * np.ones(len(alpha)) for f in functions])
    other = np.full(loss.shape, np.nan)
    return Profile(
        alpha=alpha,
        train_loss=loss,
        train_accuracy=other,
        test_loss=other,
        test_accuracy=other,
        computed=np.ones(loss.shape, dtype=bool) if computed is None else computed,
        curvature=np.full(len(loss), np.nan) if curvature is None else np.asarray(curvature, dtype=float),
        rows=tuple(map(str, range(len(loss)))),
    )


def paraboloid(a, b, c=0.0):
    return lambda x, y: a * x**2 + b * y**2 + c
