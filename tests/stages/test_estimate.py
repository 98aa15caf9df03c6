"""What `--dry-run` finds out."""

import pytest
from PIL import Image

from fault_cases import DATA, PLANE, TRAIN, Place
from lossatlas.settings.runs import DataSettings
from lossatlas.stages.estimate import Estimate, data_counts, duration, estimate, table
from lossatlas.stages.rates import Rates
from lossatlas.stages.workload import Counts, Work

KEYS = (DATA, TRAIN, PLANE, ("hessian", "resnet20"), ("report", "all"))


def files(place):
    return sorted(place.workspace.root.rglob("*"))


def test_it_measures_what_is_left_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    place = Place(tmp_path / "place")
    before, told = files(place), []
    found = {item.key: item for item in estimate(place.workspace, place.params, KEYS, advance=told.append)}
    assert files(place) == before and len(told) == len(KEYS)
    assert {item.state for item in found.values()} == {"to do"}
    assert found[DATA].work is None and found[("report", "all")].seconds is None
    assert found[TRAIN].seconds > 0 and found[PLANE].seconds > 0
    text = table(found.values(), 2)
    assert "plane resnet20" in text and "5 stages, 0 finished, 5 to run" in text
    assert "stages that may stop earlier" in text and "not counted: data, report" in text


def test_what_is_finished_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    place = Place(tmp_path / "place", "sizes.epochs=1", "runs.resnet20.train.checkpoints=[]")
    place.publish(*DATA)
    place.publish(*TRAIN)
    data, train, plane, *_ = estimate(place.workspace, place.params, KEYS[:3])
    assert (data.state, train.state, train.seconds, plane.state) == ("finished", "finished", 0.0, "to do")
    folder = next((place.workspace.scratch / "stages" / "train").glob("resnet20-*[0-9a-f]/done.json"))
    folder.unlink()
    [begun] = estimate(place.workspace, place.params, [TRAIN])
    assert begun.state == "begun" and begun.seconds > 0


def test_rates_are_seconds_per_image_of_each_kind_of_work(tmp_path):
    params = Place(tmp_path / "place").params
    rates = Rates(params.runs["resnet20"], Counts(64, 32, 8, 10), "cpu")
    assert 0 < rates.evaluated < 1 and 0 < rates.trained < 1 and 0 < rates.products < 1
    # derivatives of second order cost more than an evaluation of the same network; a factor of 1 leaves room for noise
    assert rates.products > rates.evaluated


def test_a_folder_of_images_is_counted_by_looking(tmp_path):
    for split, n in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (12, 12)).save(tmp_path / split / name / f"{i}.png")
    data = DataSettings(kind="imagefolder", root=str(tmp_path), train=5)
    assert data_counts(data, tmp_path) == Counts(train=5, test=4, size=12, classes=2)
    with pytest.raises(FileNotFoundError, match="not/there"):
        data_counts(DataSettings(kind="imagefolder", root="not/there"), tmp_path)


def test_the_known_sizes_of_digits_are_true(tmp_path):
    from lossatlas.data import load_source

    digits = load_source("digits")
    known = data_counts(DataSettings(kind="digits"), tmp_path)
    found = (len(digits.train_labels), len(digits.test_labels), digits.image_size[0], digits.num_classes)
    assert (known.train, known.test, known.size, known.classes) == found


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.23, "1.2 s"), (600, "10.0 min"), (7200, "2.0 h"), (864000, "10.0 d"), (99.9, "99.9 s")]
)
def test_durations_are_for_reading(seconds, text):
    assert duration(seconds) == text


def test_the_totals_keep_bounds_apart():
    known = Estimate(("plane", "a"), "to do", Work("a", 4, evaluated=8), 100.0)
    bounded = Estimate(("hessian", "a"), "to do", Work("a", 4, products=8, bound="at most"), 50.0)
    done = Estimate(("train", "a"), "finished", Work("a", 4, trained=8), 0.0)
    text = table([known, bounded, done], 2)
    assert "3 stages, 1 finished, 2 to run: 1.7 min on one thread, and at most 50.0 s of stages" in text
    assert "with 2 workers: 50.0 s to 75.0 s at best" in text
