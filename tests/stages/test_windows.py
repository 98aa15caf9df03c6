"""The scripts of `examples/gpu` for a GPU that is lent by the half hour, at tiny size and without a GPU."""

import subprocess
from pathlib import Path

import pytest

from lossatlas.config import compose
from lossatlas.stages.plan import SHOWN, stage_keys
from repository_copy import ROOT, copy_repository, environment, tracked_files

SCRIPTS = ROOT / "examples" / "gpu"
TINY = "tiny: plane resnet20\n"


def groups():
    lines = [line for line in (SCRIPTS / "groups.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {name: words.split() for name, _, words in (line.partition(": ") for line in lines)}


def test_the_groups_are_stages_of_the_short_study_that_another_machine_can_compute():
    known = set(stage_keys(compose(ROOT / "conf", ["preset=cifar-short", "datasets.cifar10.root=x"])[0]))
    for name, words in groups().items():
        keys = list(zip(words[::2], words[1::2], strict=True))
        assert keys and set(keys) <= known, name
        assert not {kind for kind, _ in keys} & set(SHOWN), name


def test_the_first_groups_are_the_planes_of_depth_over_all_training_images():
    params = compose(ROOT / "conf", ["preset=cifar-short", "datasets.cifar10.root=x"])[0]
    first = [word for words in list(groups().values())[:3] for word in words]
    names = [f"resnet{depth}{suffix}" for depth in (20, 56, 110) for suffix in ("", "_noshort")]
    assert first == [word for name in names for word in ("plane", name)]
    for name in names:
        plane = params.planes[name]
        assert (plane.x.points, plane.y.points, plane.train_examples, plane.sampling) == (51, 51, 50_000, None)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of the repository with the settings of a tiny pipeline."""
    folder = tmp_path_factory.mktemp("home")
    run = copy_repository(folder)
    (folder / "examples" / "gpu" / "groups.txt").write_text(TINY)
    small = ["runs.resnet20.train.epochs=2", "planes.resnet20.x.points=3", "planes.resnet20.y.points=3"]
    run("lossatlas", "compose", "preset=smoke", *small)
    return folder, run


def window(place: Path, *words: object, code: int | None = None) -> subprocess.CompletedProcess[str]:
    command = ["bash", "examples/gpu/window.sh", *map(str, words), "--device", "cpu"]
    done = subprocess.run(command, cwd=place, env=environment(place), capture_output=True, text=True)
    assert code is None or done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_windows_go_on_from_each_other_and_say_what_is_missing(home, tmp_path):
    folder, run = home
    sent, brought, carried = tmp_path / "sent", tmp_path / "brought", tmp_path / "kept" / "carried-home"
    images = tmp_path / "images"
    images.mkdir()
    packed = run("bash", "examples/gpu/home.sh", str(brought), str(carried), str(sent), "tiny")
    assert "3 stages to compute" in packed.stdout
    assert [file.name for file in sorted(sent.iterdir())] == ["part.aa"]
    # too short for anything
    first = window(folder, sent, images, brought, 0.01, code=1)
    assert "stopped by SIGTERM; the same command goes on; missing: " in first.stderr
    assert "train resnet20, plane resnet20" in first.stderr
    last = window(folder, brought, images, brought, 600, code=0)
    assert "plane resnet20: computed" in last.stdout
    # the tiny settings are for a CPU, so what was computed on one is taken in
    done = run("bash", "examples/gpu/home.sh", str(brought), str(carried), str(sent))
    assert "train resnet20: adopted" in done.stdout
    assert "plane resnet20: adopted" in done.stdout


def test_an_unknown_group_is_named(home, tmp_path):
    _, run = home
    done = run("bash", "examples/gpu/home.sh", *(str(tmp_path / x) for x in ("a", "b", "c")), "none", code=2)
    assert "no group none in groups.txt" in done.stderr


def test_the_scripts_are_of_the_repository():
    assert {Path("examples/gpu") / name for name in ("groups.txt", "home.sh", "window.sh")} <= set(tracked_files())
