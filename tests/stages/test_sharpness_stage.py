import math

import numpy as np
import pytest

from lossatlas.files import read_json, sha256_path, write_json
from lossatlas.results import Plane, Profile
from lossatlas.shape.grids import grid_of, thinned
from lossatlas.shape.measures import MEASURES, plane_numbers, profile_numbers
from lossatlas.shape.ranks import rank_correlation
from lossatlas.stages import sharpness
from lossatlas.stages.job import Job

AXIS = np.linspace(-1, 1, 21)


def made_profile(a, alpha=AXIS, lost=False):
    """Two rows about a loss of 0.02, of curvature 2 a and 2.2 a."""
    loss = 0.02 + np.array([[a], [1.1 * a]]) * alpha**2
    other = np.full(loss.shape, np.nan)
    return Profile(
        alpha=alpha, train_loss=loss, train_accuracy=other, test_loss=other, test_accuracy=other,
        computed=np.ones(loss.shape, dtype=bool), rows=("0", "1"),
        curvature=np.array([2 * a, np.nan if lost else 2.2 * a]),
    )  # fmt: skip


def made_plane(a, x=AXIS, y=AXIS):
    loss = 0.02 + a * np.sin(1.5 * x)[:, None] ** 2 + a * np.sin(1.5 * y)[None] ** 2
    other = np.full(loss.shape, np.nan)
    return Plane(
        x=x, y=y, train_loss=loss, train_accuracy=other, test_loss=other, test_accuracy=other,
        computed=np.ones(loss.shape, dtype=bool),
    )  # fmt: skip


class Preset:
    """Published runs, profiles and planes, and the stage that reads them."""

    def __init__(self, root):
        self.root, self.inputs = root, {}

    def folder(self, kind, name):
        self.inputs[f"{kind}/{name}"] = folder = self.root / kind / name
        folder.mkdir(parents=True)
        return folder

    def run(self, name, error, train_loss=0.02):
        status, note = ("diverged", "epoch 3: NaN") if error is None else ("finished", "")
        final = {"test_error": error, "train_loss": None if error is None else train_loss}
        about = {"run": name, "status": status, "note": note, "final": final, "num_classes": 10}
        write_json(self.folder("train", name) / "run.json", about)

    def profile(self, name, a, cut="filter", run=None, status="finished", **options):
        folder = self.folder("profile", name)
        about = {"run": run or name, "status": status, "reason": "" if status == "finished" else "the run diverged"}
        write_json(folder / "profile.json", about)
        made_profile(a, **options).save(folder / f"{cut}.h5")

    def plane(self, name, a, run=None, **options):
        folder = self.folder("plane", name)
        write_json(folder / "plane.json", {"run": run or name, "status": "finished", "reason": ""})
        made_plane(a, **options).save(folder / "plane.h5")

    def everything(self, name, error, a):
        self.run(name, error)
        self.profile(name, a)
        self.plane(name, a)

    def compute(self, out="out"):
        job = Job("all", {}, self.inputs, {}, self.root / out, self.root / "work")
        sharpness.compute(job)
        return read_json(job.out / "sharpness.json")


@pytest.fixture
def preset(tmp_path):
    return Preset(tmp_path)


def as_json(value):
    return value if not isinstance(value, float) or math.isfinite(value) else None


def test_the_numbers_of_each_run_are_those_of_its_profile_and_plane(preset):
    for i, name in enumerate(["vgg9", "vgg9_large", "resnet56", "resnet20"]):
        preset.everything(name, 0.1 + 0.05 * i, 1.0 + i)
    found = preset.compute()
    assert found["status"] == "finished" and found["left_out"] == {}
    for i, (name, error) in enumerate({"vgg9": 0.1, "vgg9_large": 0.15, "resnet56": 0.2, "resnet20": 0.25}.items()):
        numbers = found["runs"][name]
        profile, plane = profile_numbers(made_profile(1.0 + i)), plane_numbers(made_plane(1.0 + i))
        expected = {**profile.values, **plane.values}
        assert {key: numbers[key] for key in expected} == {key: as_json(value) for key, value in expected.items()}
        assert numbers["test_error"] == pytest.approx(error)
        assert (numbers["missing"], numbers["unknown"], numbers["directions"]) == ([], {}, 2)
        assert numbers["profile_range"] == 1.0
        assert set(MEASURES) | {"curvature_std", "plane_train_loss_centre"} < set(numbers)


def test_correlations_are_with_test_error(preset):
    curvatures, errors = [4.0, 1.0, 3.0, 2.0], [0.3, 0.1, 0.2, 0.25]
    names = ["vgg9", "vgg9_nowd", "vgg9_large", "vgg9_adam"]
    for name, a, error in zip(names, curvatures, errors, strict=True):
        preset.everything(name, error, a)
    preset.everything("densenet121", 0.05, 0.5)
    preset.everything("vgg9_seed1", 0.01, 9.0)
    found = preset.compute()
    groups = found["correlation_groups"]
    assert groups["vgg9"]["curvature"] == pytest.approx(rank_correlation(curvatures, errors))
    assert groups["vgg9"]["curvature"]["spearman"] == pytest.approx(0.8)
    # flatter means larger here
    assert groups["vgg9"]["rise_width"]["spearman"] == pytest.approx(-0.8)
    assert found["correlation"] == groups["all"] and groups["all"]["curvature"]["runs"] == 5
    assert groups["resnet56"]["curvature"] == {"spearman": None, "runs": 0, "p_value": None}
    assert found["measures"]["curvature"]["larger"] == "sharper"
    assert found["measures"]["rise_width"]["larger"] == "flatter"


def test_runs_that_have_learnt_nothing_are_no_minimizers(preset):
    for i, name in enumerate(["resnet20", "resnet56", "resnet110", "vgg9"]):
        preset.everything(name, 0.1 * i, 1.0 + i)
    for name, loss in {"resnet158_noshort": 2.2, "resnet110_noshort": 2.0}.items():
        preset.run(name, 0.9, train_loss=loss)
        preset.profile(name, 0.5)
    found = preset.compute()
    assert {name: run["learnt"] for name, run in found["runs"].items()} == {
        **dict.fromkeys(["resnet20", "resnet56", "resnet110", "vgg9", "resnet110_noshort"], True),
        "resnet158_noshort": False,  # 2.2 of 2.303 of guessing
    }
    assert found["correlation"]["curvature"]["runs"] == 5


def test_runs_without_numbers_are_left_out_with_the_reason(preset):
    preset.everything("good", 0.1, 1.0)
    preset.run("diverged", None)
    preset.profile("diverged", 1.0, status="skipped")
    preset.run("alone", 0.2)
    preset.run("half", 0.3)
    preset.profile("half", 2.0)
    preset.run("other_cut", 0.3)
    preset.profile("other_cut", 2.0, cut="none")
    preset.plane("other_cut", 2.0)
    preset.run("borrowed", 0.4)
    preset.plane("borrowed", 2.0, run="good")
    preset.plane("good_plane1", 2.0, run="good")
    found = preset.compute()
    assert set(found["runs"]) == {"good", "half", "other_cut"}
    assert found["left_out"] == {
        "diverged": "diverged (epoch 3: NaN)",
        "alone": "no profile of that name; no plane of that name",
        "borrowed": "no profile of that name; the plane of that name is of good",
    }
    half, other = found["runs"]["half"], found["runs"]["other_cut"]
    assert half["curvature"] == pytest.approx(4.2) and half["rise_width"] is None and half["beyond"] == []
    assert half["missing"] == ["no plane of that name"]
    assert other["missing"] == ["the profile has no cut 'filter'"]
    assert other["curvature"] is None and other["rise_width"] > 0


def test_a_skipped_study_says_why(preset):
    preset.run("a", 0.2)
    preset.profile("a", 1.0, status="skipped")
    assert preset.compute()["left_out"] == {"a": "the run diverged; no plane of that name"}


def test_what_lies_beyond_the_range_is_told_from_what_is_unknown(preset):
    preset.run("a", 0.2)
    preset.profile("a", 0.001)
    preset.plane("a", 0.8, x=np.linspace(-0.2, 0.2, 9))
    found = preset.compute()["runs"]["a"]
    assert found["doubling_radius"] is None and found["level_radius"] is None
    assert found["beyond"] == ["doubling_radius", "level_radius"]
    assert found["touches_border"] == ["level", "rise"]
    for name in ("level_width", "level_area", "rise_width", "rise_area"):
        assert found[name] is None and found["unknown"][name] == "the set goes on beyond the plane"
    assert found["convex_share"] > 0


def test_planes_are_measured_on_their_coarsest_grid(preset):
    axes = {"resnet20": AXIS, "resnet110": AXIS, "resnet56": np.linspace(-1, 1, 101)}
    for i, (name, axis) in enumerate(axes.items()):
        preset.run(name, 0.1 + 0.1 * i)
        preset.plane(name, 1.0 + i, x=axis, y=axis)
    found = preset.compute()
    assert found["grid"] == [21, 21]
    assert {name: run["grid"] for name, run in found["runs"].items()} == dict.fromkeys(axes, [21, 21])
    assert found["runs"]["resnet56"]["grid_computed"] == [101, 101]
    fine = made_plane(3.0, x=axes["resnet56"], y=axes["resnet56"])
    expected = plane_numbers(thinned(fine, grid_of(made_plane(1.0)))).values
    assert expected["convex_share"] != plane_numbers(fine).values["convex_share"]
    for name in ("convex_share", "convex_radius", "nonconvex_level", "level_area"):
        assert found["runs"]["resnet56"][name] == expected[name], name


def test_a_plane_with_other_points_is_left_out_with_the_reason(preset):
    for name in ("resnet20", "resnet110"):
        preset.everything(name, 0.1, 1.0)
    for name, axis in {"resnet56": np.linspace(-1, 1, 31), "vgg9": np.linspace(-0.5, 0.5, 21)}.items():
        preset.run(name, 0.2)
        preset.profile(name, 1.0)
        preset.plane(name, 1.0, x=axis, y=axis)
    found = preset.compute()
    assert found["grid"] == [21, 21] and found["left_out"] == {}
    for name, text in {"resnet56": "31 x 31 points over -1 to 1", "vgg9": "21 x 21 points over -0.5 to 0.5"}.items():
        (reason,) = found["runs"][name]["missing"]
        assert reason.startswith(f"the plane's {text}") and "cannot be thinned to 21 x 21 points over -1" in reason
        assert found["runs"][name]["convex_share"] is None and found["runs"][name]["curvature"] > 0


def test_planes_of_other_runs_do_not_make_the_grid(preset):
    preset.run("resnet20", 0.1)
    preset.plane("resnet20", 1.0, x=np.linspace(-1, 1, 41), y=np.linspace(-1, 1, 41))
    for i in (1, 2):
        preset.plane(f"resnet20_plane{i}", 1.0, run="resnet20")
    assert preset.compute()["grid"] == [41, 41]


def test_a_curvature_along_some_directions_only_is_not_known(preset):
    preset.run("a", 0.2)
    preset.profile("a", 1.0, lost=True)
    found = preset.compute()["runs"]["a"]
    assert found["curvature"] is found["curvature_std"] is None
    assert (found["curvature_finite"], found["directions"]) == (1, 2)
    assert found["unknown"] == {"curvature": "it is finite along 1 of 2 directions"}
    assert found["level_radius"] > 0


def test_a_grid_without_centre_is_a_reason(preset):
    preset.run("a", 0.2)
    preset.profile("a", 1.0, alpha=np.linspace(-1, 1, 4))
    preset.plane("a", 1.0, x=np.linspace(-1, 1, 4))
    (reason,) = preset.compute()["left_out"].values()
    assert reason.startswith("the profile's alpha has 0 points at 0 between -1 and 1; ")
    assert "; the plane's x has 0 points at 0" in reason


def test_spread_over_seeds(preset):
    for i, name in enumerate(["vgg9", "vgg9_seed1", "vgg9_seed2"]):
        preset.everything(name, 0.1 * (i + 1), 1.0 + i)
    preset.everything("resnet20", 0.2, 1.0)
    found = preset.compute()["spread"]
    assert set(found) == {"vgg9"}
    assert found["vgg9"]["seeds"] == 3
    assert found["vgg9"]["curvature"] == pytest.approx(2.1)
    assert found["vgg9"]["test_error"] == pytest.approx(0.1)
    assert found["vgg9"]["doubling_radius"] > 0


def test_nothing_to_read_is_an_empty_table_and_the_bytes_repeat(preset):
    found = preset.compute()
    assert (
        found["runs"] == found["spread"] == {}
        and found["grid"] is None
        and found["correlation"]["curvature"]["runs"] == 0
    )
    preset.everything("vgg9", 0.1, 1.0)
    preset.everything("resnet56", 0.2, 2.0)
    preset.compute("one")
    preset.compute("two")
    assert sha256_path(preset.root / "one") == sha256_path(preset.root / "two")


def test_a_damaged_result_is_an_error(preset):
    preset.everything("vgg9", 0.1, 1.0)
    (preset.inputs["plane/vgg9"] / "plane.h5").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"plane.h5 is damaged"):
        preset.compute()
