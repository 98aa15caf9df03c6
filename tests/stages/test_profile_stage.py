import numpy as np
import pytest

from lossatlas.files import read_json, sha256_path, write_json
from lossatlas.landscape.directions import random_direction
from lossatlas.models.checkpoint import load_checkpoint
from lossatlas.results import VALUES, Line, Profile
from lossatlas.stages import data, line, profile, train
from lossatlas.stages.job import Job

SOURCE = {"kind": "digits", "root": None, "train": 64, "test": 32, "subset": "first", "seed": 0}
NETWORK = {"title": "A small network", "family": "resnet", "options": {"depth": 8, "base_width": 2}}
RECIPE = {
    "epochs": 1,
    "batch_size": 32,
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 5e-4,
    "schedule": "constant",
    "schedule_options": {},
    "augment": None,
    "normalization": "li",
    "initialization": "li",
}
CUTS = {
    "filter": {"normalization": "filter", "alpha": {"min": -1.0, "max": 1.0, "points": 5}, "repeats": 3},
    "none": {"normalization": "none", "alpha": {"min": -0.5, "max": 0.5, "points": 3}, "repeats": 1},
    "none_enlarged": {"normalization": "none", "alpha": {"min": -0.1, "max": 0.1, "points": 3}, "repeats": 1},
}
SETTINGS = {
    "run": "tiny",
    "seed": 0,
    "exclude_1d": True,
    "train_examples": 16,
    "test_examples": 8,
    "batch_size": 16,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The inputs of a study of a small trained run."""
    root = tmp_path_factory.mktemp("trained")
    places = {"repository": str(root), "cache": str(root / "cache"), "data": SOURCE}
    inputs = {"data": root / "data", "run": root / "run"}
    data.compute(Job("digits", {"data": SOURCE}, {}, places, inputs["data"], root / "work"))
    run = {"data": "digits", "seed": 0, "model": NETWORK, "train": RECIPE}
    (root / "work").mkdir()
    job = Job("tiny", {"run": run, "device": "cpu"}, {"data": inputs["data"]}, places, inputs["run"], root / "work")
    train.compute(job)
    return inputs, places


def study(trained, root, **settings):
    inputs, places = trained
    for name in ("out", "work"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return Job("tiny", {**SETTINGS, **settings}, inputs, places, root / "out", root / "work")


def test_every_cut_is_written_with_its_curvature(trained, tmp_path):
    job = study(trained, tmp_path, cuts=CUTS)
    profile.compute(job)
    assert sorted(path.name for path in job.out.iterdir()) == [
        "filter.h5",
        "none.h5",
        "none_enlarged.h5",
        "profile.json",
    ]
    about = read_json(job.out / "profile.json")
    assert (about["run"], about["run_title"], about["family"]) == ("tiny", "A small network", "resnet")
    assert (about["status"], about["reason"]) == ("finished", "")
    assert (about["samples_train"], about["samples_test"]) == (16, 8)
    for name, cut in CUTS.items():
        found = Profile.load(job.out / f"{name}.h5")
        assert found.train_loss.shape == found.test_accuracy.shape == (cut["repeats"], cut["alpha"]["points"])
        assert found.computed.all() and np.isfinite(found.curvature).all() and np.isfinite(found.test_loss).all()
        centre = found.train_loss[:, len(found.alpha) // 2]
        np.testing.assert_allclose(centre, about["center_train_loss"], rtol=1e-5)
        assert about["cuts"][name]["normalization"] == cut["normalization"]
        assert about["cuts"][name]["mean_curvature"] == pytest.approx(found.curvature.mean())
    assert about["cuts"]["filter"]["std_curvature"] == pytest.approx(
        Profile.load(job.out / "filter.h5").curvature.std(ddof=1)
    )
    assert about["cuts"]["none"]["std_curvature"] is None
    assert {name: cut["finite_curvatures"] for name, cut in about["cuts"].items()} == {
        "filter": 3,
        "none": 1,
        "none_enlarged": 1,
    }
    # the enlarged cut is along the same direction
    wide, narrow = (Profile.load(job.out / f"{name}.h5") for name in ("none", "none_enlarged"))
    assert np.array_equal(wide.curvature, narrow.curvature)
    assert wide.provenance["directions"] == narrow.provenance["directions"]


def test_the_first_row_is_the_line_of_the_stage_beside_it(trained, tmp_path):
    cut = CUTS["filter"]
    one = study(trained, tmp_path / "profile", cuts={"filter": cut})
    other = study(trained, tmp_path / "line", alpha=cut["alpha"], normalization="filter", end=None, span="weights")
    profile.compute(one)
    line.compute(other)
    found, single = Profile.load(one.out / "filter.h5"), Line.load(other.out / "line.h5")
    for name in VALUES:
        assert np.array_equal(getattr(found, name)[0], getattr(single, name)), name
    state = load_checkpoint(trained[0]["run"] / "final.safetensors").state
    assert found.provenance["directions"][0] == random_direction(state, seed=0).description()


@pytest.mark.parametrize("cut", ["points", "curvature"])
def test_a_killed_stage_gives_the_same_bytes(trained, tmp_path, monkeypatch, cut):
    whole, killed = (study(trained, tmp_path / name, cuts=CUTS) for name in ("whole", "killed"))
    profile.compute(whole)
    calls = []
    plain = profile.profile.__globals__["curvatures" if cut == "curvature" else "evaluate_points"]

    def second(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*args, **options)

    with monkeypatch.context() as patch:
        patch.setitem(profile.profile.__globals__, plain.__name__, second)
        with pytest.raises(KeyboardInterrupt):
            profile.compute(killed)
    assert (killed.work / "filter.jsonl").exists() and not (killed.out / "profile.json").exists()
    profile.compute(killed)
    assert sha256_path(killed.out) == sha256_path(whole.out)


def test_biases_move_if_they_may(trained, tmp_path):
    cuts = {"filter": {**CUTS["filter"], "repeats": 1}}
    found = []
    for exclude in (True, False):
        job = study(trained, tmp_path / str(exclude), cuts=cuts, exclude_1d=exclude)
        profile.compute(job)
        found.append(Profile.load(job.out / "filter.h5"))
    assert found[0].curvature[0] != found[1].curvature[0]
    assert found[0].train_loss[0, 0] != found[1].train_loss[0, 0]


def test_a_diverged_run_is_skipped(trained, tmp_path):
    inputs, places = trained
    run = tmp_path / "run"
    run.mkdir()
    (run / "final.safetensors").write_bytes((inputs["run"] / "final.safetensors").read_bytes())
    final = dict.fromkeys(("train_loss", "train_error", "test_loss", "test_error"))
    about = {**read_json(inputs["run"] / "run.json"), "status": "diverged", "note": "epoch 1: NaN", "final": final}
    write_json(run / "run.json", about)
    job = study(({**inputs, "run": run}, places), tmp_path, cuts=CUTS)
    profile.compute(job)
    written = read_json(job.out / "profile.json")
    assert (written["status"], written["reason"]) == ("skipped", "the run diverged (epoch 1: NaN)")
    assert written["run_test_error"] is None and written["cuts"]["filter"]["mean_curvature"] is None
    assert written["cuts"]["filter"]["finite_curvatures"] == 0
    assert written["cuts"]["filter"]["note"] == written["reason"]
    for name, cut in CUTS.items():
        found = Profile.load(job.out / f"{name}.h5")
        assert found.train_loss.shape == (cut["repeats"], cut["alpha"]["points"])
        assert np.isnan([*found.train_loss.flat, *found.curvature]).all() and not found.computed.any()
        assert found.note == written["reason"] and found.rows[0] == "direction 0"


def test_losses_that_overflow_are_named_with_their_cut(trained, tmp_path):
    wide = {"normalization": "none", "alpha": {"min": 0.0, "max": 1e30, "points": 2}, "repeats": 2}
    job = study(trained, tmp_path, cuts={"filter": CUTS["filter"], "none": wide})
    profile.compute(job)
    about = read_json(job.out / "profile.json")
    assert about["status"] == "finished"
    assert about["reason"] == "none: 2 points have a loss that overflows"
    assert about["cuts"]["filter"]["note"] == ""


def test_a_curvature_that_is_not_finite_leaves_the_mean_unknown(trained, tmp_path, monkeypatch):
    plain = profile.profile

    def overflowing(*args, **options):
        found = plain(*args, **options)
        found.curvature[1] = np.inf
        return found

    monkeypatch.setattr(profile, "profile", overflowing)
    job = study(trained, tmp_path, cuts={"filter": CUTS["filter"]})
    profile.compute(job)
    about = read_json(job.out / "profile.json")
    cut = about["cuts"]["filter"]
    assert cut["mean_curvature"] is cut["std_curvature"] is None
    assert cut["finite_curvatures"] == 2
    assert cut["note"] == "the curvature is not finite along 1 of 3 directions"
    assert about["reason"] == f"filter: {cut['note']}"
