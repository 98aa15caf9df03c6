"""Which stages log live curves."""

from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.paths import Workspace
from lossatlas.stages import tracked

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def params():
    return compose(CONF, ["preset=smoke", "tracking.live=true"])[0]


@pytest.mark.parametrize(
    ("key", "trains"),
    [
        (("train", "vgg9"), True),
        (("fge", "vgg9"), True),
        (("curve", "vgg9_bezier"), True),
        (("curve", "vgg9_segment"), False),
        (("data", "digits"), False),
    ],
)
def test_live_curves_are_those_of_what_trains(params, tmp_path, monkeypatch, key, trains):
    made = []
    monkeypatch.setattr(tracked, "LiveCurves", lambda *args, **options: made.append(args) or "live")
    described = {"stage_hash": "0" * 8, "settings": {}}
    found = tracked.live_curves(Workspace(tmp_path), params, key, described)
    assert found == ("live" if trains else None)
    assert [args[:2] for args in made] == ([key] if trains else [])
    silent = params.model_copy(update={"tracking": params.tracking.model_copy(update={"live": False})})
    assert tracked.live_curves(Workspace(tmp_path), silent, key, described) is None
