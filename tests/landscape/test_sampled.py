import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from landscape.sampling_cases import AXES, digits8, trained
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points
from lossatlas.landscape.sampling import Sampling
from lossatlas.landscape.surfaces import plane
from lossatlas.results import VALUES, Plane, SampledPlane

TESTS = Path(__file__).parents[1]
SMALL = {"x": np.linspace(-0.5, 0.5, 9), "y": np.linspace(-0.3, 0.3, 7)}
FAST = Sampling(steps=(4, 2), images=200)
# few images and points, and rough surfaces
WIDE = Sampling(rtol=0.05, atol=0.02)


def images_of(monkeypatch):
    """Count the images whose losses are really computed."""
    counted = []
    original = Evaluator.example_values

    def values(self, name, start=0, stop=None):
        found = original(self, name, start, stop)
        counted.append(len(found[0]))
        return found

    monkeypatch.setattr(Evaluator, "example_values", values)
    return counted


def parts(n=600):
    images, labels = digits8()
    return (images[:n], labels[:n]), (images[n : n + 150], labels[n : n + 150])


@pytest.fixture(scope="module", params=[True, False], ids=["shortcuts", "no shortcuts"])
def planes(request):
    """A plane about a trained network, exact and sampled."""
    model, data = trained(request.param), digits8()
    return plane(model, data, **AXES), plane(model, data, **AXES, sampling=WIDE)


def test_the_points_of_a_plane_are_near(planes):
    exact, found = planes
    assert isinstance(found, SampledPlane)
    error, between = np.abs(found.train_loss - exact.train_loss), found.train_loss_se > 0
    assert (1.96 * found.train_loss_se <= (0.02 + 0.05 * found.train_loss) * (1 + 1e-12)).all()
    assert between.mean() > 0.5
    # one plane is one draw of the order, which its points share: 95 % is what many planes have on average, see below
    assert (error <= 0.02 + 0.05 * exact.train_loss).mean() >= 0.9
    misses = np.abs(found.train_accuracy - exact.train_accuracy)[between]
    assert (misses <= 1.96 * found.train_accuracy_se[between]).mean() >= 0.85


def test_exact_points_are_those_of_the_exact_plane(planes):
    exact, found = planes
    same = found.train_loss_se == 0
    assert (found.train_n[same] == 1797).all() and (found.train_n[~same] < 1797).all()
    # other batches: float32 rounding
    np.testing.assert_allclose(found.train_loss[same], exact.train_loss[same], rtol=1e-5)
    assert (found.train_accuracy_se[same] == 0).all()


def test_a_fraction_of_the_evaluations(planes):
    _, found = planes
    about = found.provenance["sampling"]["train"]["evaluations"]
    # 216 points and 1,797 images are little to save on
    assert about["exact"] == 216 * 1797
    assert about["total"] < 0.5 * about["exact"]
    assert about["total"] == found.train_n.sum() + about["pilots"]
    assert found.test_n.sum() == 0 and np.isnan(found.test_loss_se).all()


@pytest.mark.parametrize("sampling", [FAST, Sampling(), Sampling(steps=(3,))], ids=["two grids", "chosen", "one grid"])
def test_the_count_is_of_what_was_computed(sampling, monkeypatch):
    train, test = parts()
    counted = images_of(monkeypatch)
    found = plane(trained(), train, test, **SMALL, sampling=sampling)
    about = found.provenance["sampling"]
    assert sum(counted) == sum(about[name]["evaluations"]["total"] for name in ("train", "test"))
    for name, n in (("train", found.train_n), ("test", found.test_n)):
        spent = about[name]["evaluations"]
        assert n.sum() == spent["coarse"] + spent["samples"] == spent["total"] - spent["pilots"]
    assert about["confidence"] == 0.95 and about["quantile"] == 1.96
    assert (about["rtol"], about["atol"], about["minimum"], about["seed"]) == (0.02, 0.01, 64, 0)
    json.dumps(found.provenance)


def test_each_data_set_has_its_own_samples():
    train, test = parts()
    both = plane(trained(), train, test, **SMALL, sampling=FAST)
    alone = plane(trained(), train, **SMALL, sampling=FAST)
    assert both.train_loss.tobytes() == alone.train_loss.tobytes()
    assert both.test_n.max() == 150 and both.train_n.max() == 600
    assert np.isfinite(both.test_loss_se).all()


def test_the_order_is_the_seeds():
    train, _ = parts()
    first, second, third = (
        plane(trained(), train, **SMALL, sampling=Sampling(steps=(4,), rtol=0.1, seed=seed)) for seed in (0, 0, 1)
    )
    assert first.train_loss.tobytes() == second.train_loss.tobytes()
    between = first.train_loss_se > 0
    assert (first.train_loss[between] != third.train_loss[between]).all()
    assert between.sum() > 10
    np.testing.assert_allclose(first.train_loss[::4, ::6], third.train_loss[::4, ::6], rtol=1e-5)


def test_exact_is_the_default_and_as_it_was():
    train, test = parts(100)
    found = plane(trained(), train, test, **SMALL)
    assert type(found) is Plane and "sampling" not in found.provenance
    evaluator = Evaluator(trained(), {"train": train, "test": test})
    center = evaluator(trained().state_dict())
    assert found.train_loss[4, 3] == center["train"].loss and found.test_accuracy[4, 3] == center["test"].accuracy


def test_arrays_and_lengths_that_differ():
    train, _ = parts(150)
    found = plane(trained(), train, x=[0, 1, 2], y=[0, 1], sampling=FAST)
    arrays = plane(trained(), (train[0].numpy(), train[1].tolist()), x=[0, 1, 2], y=[0, 1], sampling=FAST)
    assert found.train_loss.tobytes() == arrays.train_loss.tobytes()
    with pytest.raises(ValueError, match="has 150 inputs and 149 labels"):
        plane(trained(), (train[0], train[1][:-1]), sampling=FAST)


def test_overflows_are_exact_and_noted():
    train, _ = parts()
    axes = {"x": np.array([0.0, 0.5, 1.0, 1e20]), "y": np.array([0.0, 0.5, 1.0])}
    exact, found = (plane(trained(), train, **axes, sampling=s) for s in (None, Sampling(steps=(2,))))
    assert np.array_equal(np.isfinite(exact.train_loss), np.isfinite(found.train_loss))
    assert not np.isfinite(found.train_loss).all()
    assert (found.train_n[3] == 600).all()
    assert found.note == exact.note == "3 points have a loss that overflows"


# The child samples the same plane, and is killed without notice before its 60th group of images.
CHILD = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from landscape import test_sampled
from lossatlas.engine.evaluator import Evaluator
from lossatlas.landscape import points, surfaces

points.FLUSH_SECONDS = 0
original, calls = Evaluator.example_values, []

def values(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 60:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *args, **kwargs)

Evaluator.example_values = values
test_sampled.sampled(Path(sys.argv[1]) / "points.jsonl")
"""


def sampled(journal=None):
    train, test = parts()
    return plane(trained(), train, test, **SMALL, journal=journal, sampling=FAST)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    journal, kept = tmp_path / "points.jsonl", tmp_path / "points.jsonl.images"
    done = len(journal.read_text().splitlines()) - 1
    assert 0 < done < 63
    assert list(kept.glob("*.npy"))

    whole = sampled()
    counted = images_of(monkeypatch)
    resumed = sampled(journal)
    # neither finished points nor the corners in use are computed again: less than one corner of each data set is lost
    assert sum(counted) < whole.train_n.sum() + whole.test_n.sum() - whole.train_n.ravel()[:done].sum()
    whole.save(tmp_path / "whole.h5")
    resumed.save(tmp_path / "resumed.h5")
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "resumed.h5").read_bytes()
    assert not list(kept.glob("*.npy"))

    counted.clear()
    sampled(journal).save(tmp_path / "again.h5")
    assert not counted
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_a_resumed_plan_is_not_measured_again(tmp_path, monkeypatch):
    train, _ = parts()
    arguments = {**AXES, "journal": tmp_path / "j", "sampling": WIDE}
    monkeypatch.setattr(points, "FLUSH_SECONDS", -1)
    original = Evaluator.example_values

    def fail(self, name, start=0, stop=None):
        if start > 0:
            raise MemoryError("no memory left")
        return original(self, name, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "example_values", fail)
        with pytest.raises(MemoryError):
            plane(trained(), train, **arguments)
    counted = images_of(monkeypatch)
    found = plane(trained(), train, **arguments)
    about = found.provenance["sampling"]["train"]["evaluations"]
    assert sum(counted) < about["total"] - about["pilots"]
    found.save(tmp_path / "resumed.h5")
    plane(trained(), train, **arguments | {"journal": None}).save(tmp_path / "whole.h5")
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_journal_of_other_settings_is_refused(tmp_path):
    train, _ = parts(150)
    arguments = {"x": [0, 1, 2], "y": [0, 1], "journal": tmp_path / "j"}
    plane(trained(), train, **arguments, sampling=FAST)
    with pytest.raises(ValueError, match="points of other data, weights, loss or grid"):
        plane(trained(), train, **arguments, sampling=Sampling(rtol=0.05))
    with pytest.raises(ValueError, match="points of other data, weights, loss or grid"):
        plane(trained(), train, **arguments)


def test_a_result_file_says_what_it_is(tmp_path):
    found = sampled()
    found.save(tmp_path / "plane.h5")
    again = Plane.load(tmp_path / "plane.h5")
    assert isinstance(again, SampledPlane)
    for name in (*VALUES, "train_n", "train_loss_se"):
        assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
    assert again.provenance["sampling"]["train"]["steps"] == [4, 2]
