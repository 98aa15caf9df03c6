"""Every kind of stage killed at random moments, again and again: a short version of `python tests/soak.py`."""

import json

import pytest

from soak import DifferentError, Soak

pytestmark = pytest.mark.pipeline
STUDIES = (
    "line vgg9_interpolation",
    "plane resnet20",
    "hessian resnet20",
    "curve vgg9_bezier",
    "fge vgg9",
    "ensemble vgg9-digits-sse",
)
SMALL = ("preset=smoke", "tracking.live=false", "datasets.digits.train=168", "datasets.digits.test=64")


def test_outputs_are_those_of_an_undisturbed_run(tmp_path):
    soak = Soak(tmp_path / "soak", seed=1, only=STUDIES, overrides=SMALL, every_kind=True)
    try:
        told = soak.run(rounds=1, prefills=0.0)
    finally:
        soak.close()
    assert told.startswith("1 rounds, ") and " identical; " in told
    kills = [json.loads(line) for line in (tmp_path / "soak" / "kills.jsonl").read_text().splitlines()]
    killed = {kill["stage"].split()[0] for kill in kills}
    assert killed >= {"train", *(study.split()[0] for study in STUDIES)}
    assert all(soak.kills[kind] for kind in killed) and len(kills) == sum(soak.kills.values())
    assert {kill["signal"] for kill in kills} >= {"SIGKILL"}
    assert "Traceback" not in (tmp_path / "soak" / "output.log").read_text()


def test_a_difference_is_found(tmp_path):
    """The comparison itself: with a byte altered in one of the outputs."""
    soak = Soak(tmp_path / "soak", only=("data digits",))
    plain = soak._stage

    def altered(place, key, **options):
        plain(place, key, **options)
        if place.root.name == "round0":
            file = place.artifacts("smoke", *key) / "content.json"
            file.write_bytes(file.read_bytes() + b" ")

    soak._stage = altered
    try:
        with pytest.raises(DifferentError, match=r"round0 differs from .*calm in artifacts/smoke/data/digits/content"):
            soak.run(rounds=1, prefills=0.0)
    finally:
        soak.close()
