from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_claims import with_run, with_sharpness
from synthetic_report import make_plane

from lossatlas.report.artefacts import Results, Surface
from lossatlas.report.claims.inputs import learnt, plane, sharpness
from lossatlas.report.claims.rule import MissingError
from lossatlas.results import Plane


def surface(name: str, found: Plane, run: str = "") -> Surface:
    return Surface(name, {"run": run or name, "status": "finished"}, found)


def test_a_plane_has_the_points_that_all_planes_share(all_hold: Results) -> None:
    fine, coarse = make_plane(41, 21), make_plane(21, 11)
    planes = {"a": surface("a", fine), "b": surface("b", coarse), "c": surface("c", make_plane(15, 15))}
    # of the same run, and not measured: its grid does not count
    planes["a_plane1"] = surface("a_plane1", make_plane(3, 3), run="a")
    results = replace(all_hold, planes=planes)
    assert np.array_equal(plane(results, "a").train_loss, fine.train_loss[::2, ::2])
    assert np.array_equal(plane(results, "b").train_loss, coarse.train_loss)
    with pytest.raises(
        MissingError, match=r"^the plane c on the grid of the others \(15 x 15 points .* 21 x 11 points"
    ):
        plane(results, "c")
    with pytest.raises(MissingError, match="^no plane d$"):
        plane(results, "d")


def test_a_number_that_is_not_known_has_the_stages_reason(all_hold: Results) -> None:
    beyond = "the set goes on beyond the plane"
    results = with_sharpness(all_hold, "resnet20", level_width=None, unknown={"level_width": beyond})
    with pytest.raises(MissingError, match=rf"^no level width of resnet20 \({beyond}\)$"):
        sharpness(results, "resnet20", "level_width")
    results = with_sharpness(all_hold, "resnet20", level_width=None, missing=["no plane of that name"])
    with pytest.raises(MissingError, match=r"^no level width of resnet20 \(no plane of that name\)$"):
        sharpness(results, "resnet20", "level_width")
    assert sharpness(all_hold, "resnet20", "nonconvex_level") == [None]  # beyond the range
    assert sharpness(all_hold, "resnet56", "level_width") == [0.4]


def test_a_run_near_guessing_has_not_learnt(all_hold: Results) -> None:
    assert learnt(with_run(all_hold, "vgg9", error=0.5, loss=2.0), "vgg9").name == "vgg9"
    for loss, text in ((2.2, "2.2"), (None, "not known")):
        with pytest.raises(MissingError, match=f"^run vgg9 has not learnt: its training loss is {text}, no minimizer"):
            learnt(with_run(all_hold, "vgg9", error=0.9, loss=loss), "vgg9")
