"""The precision of a preset reaches its planes and lines, and nothing that must be exact."""

from pathlib import Path

import numpy as np
import pytest

from lossatlas.config import ConfigError, compose
from lossatlas.files import read_json
from lossatlas.paths import Workspace
from lossatlas.results import Line, Plane, Profile
from lossatlas.stages import line, plane, profile
from lossatlas.stages.plan import make_task
from stages.stage_cases import job, published_data, trained

ROOT = Path(__file__).parents[2]
AXIS = {"min": -0.5, "max": 0.5, "points": 3}
SETTINGS = {
    "run": "net",
    "seed": 0,
    "normalization": "filter",
    "exclude_1d": True,
    "train_examples": 16,
    "test_examples": 8,
    "batch_size": 8,
}
COARSE = {"evaluation": {"precision": "bfloat16", "graph": True}}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    digits = published_data(root)
    return {"data": digits, "run": trained(root, digits, "resnet", depth=8, base_width=2)}


def test_a_setting_of_the_preset_reaches_the_studies_it_is_for():
    params, _ = compose(ROOT / "conf", ["preset=smoke", "evaluation.precision=tf32", "evaluation.graph=true"])
    workspace = Workspace(ROOT)
    expected = {"precision": "tf32", "graph": True}
    assert make_task(workspace, params, ("plane", "resnet20")).settings["evaluation"] == expected
    for kind, group in (("line", params.lines), ("profile", params.profiles), ("trajectory", params.trajectories)):
        for name in group:
            assert make_task(workspace, params, (kind, name)).settings["evaluation"] == expected
    for kind, group in (("hessian", params.hessians), ("probe", params.probes), ("invariance", params.invariances)):
        for name in group:
            assert "evaluation" not in make_task(workspace, params, (kind, name)).settings


def test_presets_of_one_gpu_and_of_the_papers():
    short, _ = compose(ROOT / "conf", ["preset=cifar-short"])
    paper, _ = compose(ROOT / "conf", ["preset=paper"])
    default, _ = compose(ROOT / "conf", [])
    assert (short.evaluation.precision, short.evaluation.graph) == ("tf32", True)
    assert (paper.evaluation.precision, paper.evaluation.graph) == ("float32", True)
    assert (default.evaluation.precision, default.evaluation.graph) == ("float32", False)
    with pytest.raises(ConfigError, match=r"evaluation.precision: Input should be 'float32', 'tf32', 'bfloat16' or"):
        compose(ROOT / "conf", ["evaluation.precision=half"])


def test_a_plane_says_its_precision_and_its_account_is_exact(tmp_path, inputs):
    coarse = job(
        tmp_path / "a", "net", {**SETTINGS, **COARSE, "x": AXIS, "y": AXIS, "sampling": None, "epoch": None}, inputs
    )
    exact = job(tmp_path / "b", "net", {**SETTINGS, "x": AXIS, "y": AXIS, "sampling": None, "epoch": None}, inputs)
    for made in (coarse, exact):
        plane.compute(made)
    found, expected = (Plane.load(made.out / "plane.h5") for made in (coarse, exact))
    assert found.provenance["precision"] == "bfloat16" and "precision" not in expected.provenance
    assert not np.array_equal(found.train_loss, expected.train_loss)
    # 8 bits of mantissa in each layer
    np.testing.assert_allclose(found.train_loss, expected.train_loss, rtol=3e-2)
    centres = [read_json(made.out / "plane.json")["center_train_loss"] for made in (coarse, exact)]
    assert centres[0] == centres[1] == pytest.approx(expected.train_loss[1, 1], rel=1e-5)


def test_lines_and_profiles_say_their_precision(tmp_path, inputs):
    cuts = {"filter": {"normalization": "filter", "alpha": AXIS, "repeats": 1}}
    settings = {key: value for key, value in SETTINGS.items() if key != "normalization"}
    made = job(tmp_path / "a", "net", {**settings, **COARSE, "cuts": cuts}, inputs)
    profile.compute(made)
    (file,) = made.out.glob("*.h5")
    assert Profile.load(file).provenance["precision"] == "bfloat16"
    made = job(tmp_path / "b", "net", {**SETTINGS, **COARSE, "alpha": AXIS, "end": None, "span": "weights"}, inputs)
    line.compute(made)
    assert Line.load(made.out / "line.h5").provenance["precision"] == "bfloat16"
