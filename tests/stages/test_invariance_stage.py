"""Stage `invariance` on a tiny VGG-9."""

import numpy as np
import pytest
from stage_cases import diverged, job, published_data, trained

from lossatlas.files import read_json
from lossatlas.landscape.directions import random_direction
from lossatlas.landscape.journal import Journal
from lossatlas.landscape.surfaces import line
from lossatlas.results import Profile
from lossatlas.settings.studies import InvarianceSettings
from lossatlas.stages import invariance
from lossatlas.stages.landscape import load_subject

SETTINGS = {
    "run": "vgg",
    "seed": 5,
    "exclude_1d": True,
    "train_examples": 32,
    "batch_size": 32,
    "alpha": {"min": -1.0, "max": 1.0, "points": 5},
    "relu_factor": 10.0,
    "norm_factor": 100.0,
}
ROWS = ("as trained", "one layer x 10, next / 10", "filters x 100")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("invariance")
    digits = published_data(root)
    return root, {"data": digits, "run": trained(root, digits, "vgg", depth=9, base_width=2)}


def made(place, name, **changes):
    root, inputs = place
    return job(root, name, InvarianceSettings(**SETTINGS | changes).model_dump(), inputs)


@pytest.fixture(scope="module")
def out(place):
    work = made(place, "vgg9")
    invariance.compute(work)
    return work.out


def test_filter_normalized_lines_agree_and_unnormalized_ones_do_not(out):
    normalized, plain = (Profile.load(out / f"{cut}.h5") for cut in ("filter", "none"))
    about = read_json(out / "invariance.json")
    assert normalized.rows == plain.rows == ROWS
    for profile in (normalized, plain):
        assert profile.train_loss.shape == (3, 5) and profile.computed.all()
        assert np.isnan(profile.curvature).all() and np.isnan(profile.test_loss).all()
        # one function: the centres agree
        np.testing.assert_allclose(profile.train_loss[:, 2], about["center_train_loss"], rtol=1e-4)
    np.testing.assert_allclose(normalized.train_loss, normalized.train_loss[:1].repeat(3, 0), rtol=1e-4)
    rescaled = set(ROWS[1:])
    assert {key: set(about[f"{key}_difference"]) for key in ("function", "filter", "none")} == {
        key: rescaled for key in ("function", "filter", "none")
    }
    # float32 through nine layers
    assert max(about["function_difference"].values()) < 1e-4 and max(about["filter_difference"].values()) < 1e-4
    for row, losses in zip(ROWS[1:], plain.train_loss[1:], strict=True):
        expected = np.max(abs(losses - plain.train_loss[0]) / np.maximum(plain.train_loss[0], 0.01))
        assert about["none_difference"][row] == pytest.approx(expected) and expected > 0.05
    assert (about["status"], about["run"], about["samples_train"]) == ("finished", "vgg", 32)


def test_rows_are_lines_and_both_kinds_reach_equally_far(place, out):
    subject = load_subject(made(place, "vgg9"))
    state = subject.model.state_dict()
    profiles = {cut: Profile.load(out / f"{cut}.h5") for cut in ("filter", "none")}
    reach = {}
    for cut, profile in profiles.items():
        direction = random_direction(state, seed=5, normalization=cut)
        expected = line(subject.model, subject.train, direction=direction, alpha=profile.alpha, batch_size=32)
        np.testing.assert_array_equal(profile.train_loss[0], expected.train_loss)
        reach[cut] = profile.alpha[-1] * np.sqrt(sum(float(t.square().sum()) for t in direction.tensors.values()))
    assert reach["none"] == pytest.approx(reach["filter"], rel=1e-5)
    assert profiles["filter"].alpha.tolist() == [-1, -0.5, 0, 0.5, 1]


def test_a_killed_stage_goes_on_to_the_same_bytes(place, out, monkeypatch):
    again, left = made(place, "killed"), 7
    append = Journal.append

    def until(*arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        append(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("lossatlas.landscape.points.FLUSH_SECONDS", -1.0)
        patch.setattr(Journal, "append", until)
        with pytest.raises(KeyboardInterrupt):
            invariance.compute(again)
    assert len(list(again.work.glob("*.jsonl"))) == 2
    invariance.compute(again)
    for name in ("filter.h5", "none.h5", "invariance.json"):
        assert (again.out / name).read_bytes() == (out / name).read_bytes()


def test_rows_are_named_by_the_factors(place):
    work = made(place, "factors", relu_factor=2.5, norm_factor=0.5, alpha={"min": 0.0, "max": 0.0, "points": 1})
    invariance.compute(work)
    assert Profile.load(work.out / "none.h5").rows[1:] == ("one layer x 2.5, next / 2.5", "filters x 0.5")


def test_a_run_that_diverged_is_skipped(place):
    root, inputs = place
    settings = InvarianceSettings(**SETTINGS).model_dump()
    work = job(root, "skipped", settings, inputs | {"run": diverged(root, inputs["run"])})
    invariance.compute(work)
    about, profile = read_json(work.out / "invariance.json"), Profile.load(work.out / "filter.h5")
    assert (about["status"], about["function_difference"], about["none_difference"]) == ("skipped", None, None)
    assert about["reason"] == profile.note == "the run diverged (epoch 1: weights not finite)"
    assert profile.rows == ROWS and not profile.computed.any() and np.isnan(profile.train_loss).all()


def test_losses_that_overflow_on_one_line_alone_are_no_agreement():
    def profile(*losses):
        values = {f"{s}_{v}": np.full((2, 2), np.nan) for s in ("train", "test") for v in ("loss", "accuracy")}
        values["train_loss"] = np.array(losses)
        return Profile(
            alpha=np.arange(2.0),
            **values,
            computed=np.ones((2, 2), bool),
            curvature=np.zeros(2),
            rows=("as trained", "b"),
        )

    differences = invariance._line_differences
    assert differences(profile([1.0, np.inf], [1.5, np.inf])) == {"b": 0.5}
    assert differences(profile([0.0, 2.0], [1e-4, 2.0])) == {"b": pytest.approx(0.01)}
    assert differences(profile([1.0, np.inf], [1.0, 3.0])) == {"b": np.inf}
