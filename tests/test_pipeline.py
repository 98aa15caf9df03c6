"""The whole pipeline, preset `smoke`, in temporary copies of the repository."""

import json
import shutil
import sqlite3

import pytest
import torch
from PIL import Image

from lossatlas.files import sha256_file
from repository_copy import copy_repository

pytestmark = pytest.mark.pipeline


def hashes(folder, *parts):
    """Hashes of the published files; what depends on wall time lies in `artifacts/side`."""
    files = [path for part in parts for path in (folder / part).rglob("*") if path.is_file()]
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in files if p.name != ".gitignore"}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A copy in which the pipeline ran: filled ahead in parallel, published by DVC."""
    folder = tmp_path_factory.mktemp("smoke")
    run = copy_repository(folder)
    assert "preset smoke" in run("lossatlas", "compose", "preset=smoke").stdout
    run("lossatlas", "prefill")
    run("dvc", "repro")
    return folder, run


@pytest.fixture(scope="module")
def tracked(smoke):
    folder, run = smoke
    first = run("lossatlas", "track").stdout
    return folder, run, first


def test_every_stage_published(smoke):
    folder, _ = smoke
    published = folder / "artifacts/smoke"
    for name in ("resnet20", "resnet20_noshort", "vgg9", "vgg9_large"):
        assert (published / "train" / name / "final.safetensors").is_file()
        assert json.loads((folder / f"reports/smoke/metrics/{name}.json").read_text())["status"] == "finished"
    assert (published / "plane/resnet20_noshort/plane.h5").is_file()
    assert (published / "line/vgg9_interpolation/line.h5").is_file()
    assert {path.name for path in (published / "profile/vgg9").glob("*.h5")} == {
        "filter.h5", "layer.h5", "none.h5", "none_enlarged.h5"
    }  # fmt: skip
    assert (published / "hessian/resnet20/hessian.h5").is_file()
    assert (published / "trajectory/vgg9/trajectory.h5").is_file()
    assert (published / "slices/small/slices.h5").is_file()
    for name in ("probe/resnet20/probe.json", "invariance/vgg9/invariance.json", "plane3/vgg9_bezier/plane3.json"):
        assert json.loads((published / name).read_text())["status"] == "finished"
    assert (published / "curve/vgg9_bezier/node_1.safetensors").is_file()
    assert (published / "fge/vgg9/member_0001.safetensors").is_file()
    for name in ("ind", "sse", "fge"):
        scored = json.loads((published / f"ensemble/vgg9-digits-{name}/ensemble.json").read_text())
        assert scored["status"] == "finished" and len(scored["members"]) == {"ind": 2, "sse": 3, "fge": 1}[name]
    assert set(json.loads((folder / "reports/smoke/sharpness.json").read_text())["runs"]) >= {"resnet20", "vgg9"}
    assert (folder / "reports/smoke/report.html").stat().st_size > 100_000
    assert list((folder / "reports/smoke/figures").glob("*.png"))
    drawn = {path.stem for path in (folder / "reports/smoke/figures").glob("*.png")}
    assert {path.stem for path in (folder / "reports/smoke/vector").glob("*.svg")} == drawn
    assert (folder / "reports/smoke/explorer.html").stat().st_size > 1_000_000
    assert "(figures/figure-5.png)" in (folder / "reports/smoke/report.md").read_text()
    assert (folder / "reports/smoke/lines/vgg9_interpolation.csv").is_file()


def test_the_second_time_does_nothing(smoke):
    _, run = smoke
    assert "Data and pipelines are up to date." in run("dvc", "repro").stdout


def test_checks_pass_and_are_told(smoke):
    """The fresh run is compared with committed values of the same preset, never with the papers."""
    _, run = smoke
    assert "0 fail" in run("lossatlas", "check").stdout
    found = json.loads(run("lossatlas", "check", "--json").stdout)
    assert found["failures"] == [] and found["regime"] == "embedded"
    compared = {item["id"]: item["verdict"] for item in found["checks"] if item["id"].startswith("expected/")}
    assert len(compared) == 10 and set(compared.values()) == {"pass"}  # five runs, before the first step and at the end
    numbers = [item for item in found["numbers"] if item["unit"]]
    assert len(numbers) > 150 and {item["verdict"] for item in numbers} <= {"not compared", "not run"}


def test_a_reader_pulls_the_results_and_computes_nothing(smoke, tmp_path):
    folder, run = smoke
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    add = ("dvc", "remote", "add", "--local", "--default", "results", str(remote))
    run(*add)
    run("dvc", "push")
    take = copy_repository(clone)
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(folder / name, clone / name)
    shutil.copytree(folder / "reports/smoke", clone / "reports/smoke", dirs_exist_ok=True)
    take(*add)
    take("dvc", "pull")
    assert hashes(clone, "artifacts/smoke/train") == hashes(folder, "artifacts/smoke/train") != {}
    told = take("dvc", "repro").stdout
    ran = {line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage")}
    assert ran == {"plan", "data@digits"}  # what depends on the machine
    assert "up to date" in take("dvc", "status").stdout
    assert hashes(clone, "artifacts/smoke", "reports/smoke") == hashes(folder, "artifacts/smoke", "reports/smoke")


def test_dvc_shows_metrics_plots_and_parameters(smoke):
    folder, run = smoke
    assert "resnet20.json" in run("dvc", "metrics", "show").stdout
    run("dvc", "plots", "show", "-o", "shown")
    assert (folder / "shown/index.html").is_file()
    assert "smoke" in run("dvc", "params", "diff").stdout


def test_plain_repro_from_nothing_gives_the_same_bytes(smoke, tmp_path):
    folder, _ = smoke
    run = copy_repository(tmp_path)
    run("lossatlas", "compose", "preset=smoke")
    run("dvc", "repro")
    parts = ("artifacts/smoke", "reports/smoke")
    assert hashes(tmp_path, *parts) == hashes(folder, *parts)


def count_rows(folder):
    with sqlite3.connect(folder / "tracking/mlflow.db") as database:
        tables = ("runs", "metrics", "params", "tags")
        counts = {table: database.execute(f"select count(*) from {table}").fetchone()[0] for table in tables}
    return counts | {"files": len(list((folder / "tracking/artifacts").rglob("*")))}


def test_tracking_names_the_report_and_the_database(tracked):
    folder, _, first = tracked
    assert f"report: {folder / 'reports/smoke/report.html'}" in first
    assert "tracking/mlflow.db" in first
    assert count_rows(folder)["runs"] == 26  # data, five trainings, nineteen studies and the report


def test_tracking_twice_adds_nothing(tracked):
    folder, run, _ = tracked
    before = count_rows(folder)
    run("dvc", "repro")
    run("lossatlas", "track")
    assert count_rows(folder) == before


def stale(run):
    """The stages that DVC would run again, once the plan is made anew."""
    run("lossatlas", "stage", "plan")
    status = json.loads(run("dvc", "status", "--json").stdout)
    return {name for name, changes in status.items() if any("changed deps" in change for change in changes)}


# in preset `smoke`, by the networks they are of
OF_VGG = {"line", "plane", "profile", "trajectory", "invariance", "curve", "plane3", "fge", "ensemble"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("src/lossatlas/report/page.py", {"report"}),
        ("src/lossatlas/report/figures/style.py", {"figures", "explorer"}),
        ("src/lossatlas/models/vgg.py", {"train@vgg9", "train@vgg9_large", "train@vgg9_sse", *OF_VGG}),
        ("src/lossatlas/config.py", set()),
        ("src/lossatlas/tracking/store.py", set()),
    ],
)
def test_an_edit_makes_only_what_uses_it_stale(smoke, file, expected):
    folder, run = smoke
    before = (folder / file).read_text()
    try:
        (folder / file).write_text(before + "\n# edited\n")
        assert stale(run) == {"plan", *expected}
    finally:
        (folder / file).write_text(before)
    assert stale(run) == set()


def test_an_edited_family_retrains_its_runs_only(smoke):
    """Surfaces depend on all trained weights; those of other families are only published again."""
    folder, run = smoke
    file = folder / "src/lossatlas/models/vgg.py"
    before = file.read_text()
    try:
        file.write_text(before + "\n# edited\n")
        told = run("dvc", "repro").stdout
        assert "train vgg9: computed" in told and "line vgg9_interpolation: computed" in told
        assert "plane resnet20: finished before" in told
        assert "train resnet20:" not in told
    finally:
        file.write_text(before)
        run("dvc", "repro")


def test_changed_images_under_the_same_root_are_noticed(repository):
    folder, run = repository
    for split in ("train", "test"):
        for i in range(20):
            place = folder / "data/images" / split / f"class{i % 2}"
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (10 * i, 255 * (i % 2), 40)).save(place / f"{i}.png")
    source = ["datasets.digits.kind=imagefolder", "datasets.digits.root=data/images"]
    whole = ["datasets.digits.train=null", "datasets.digits.test=null"]
    sizes = ["sizes.train_examples=null", "sizes.test_examples=null", "sizes.hessian_examples=null"]
    sizes += ["sizes.gradient_batch_size=2", "sizes.refresh_examples=null", "sizes.epochs=2", "sizes.plane.points=2"]
    sizes += ["slices.small.examples=20"]
    run("lossatlas", "compose", "preset=smoke", *source, *whole, *sizes, "planes.resnet20_epoch1.epoch=null")
    for expected in ("computed", "up to date", "computed"):
        filled = run("lossatlas", "prefill").stdout
        told = run("dvc", "repro").stdout
        assert ("train vgg9: computed" in filled) == (expected == "computed")
        assert ("Data and pipelines are up to date." in told) == (expected == "up to date")
        if expected == "up to date":
            Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "data/images/train/class0/0.png")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["runs.resnet20.train.epochs=-1"], "greater than or equal to 0"),
        (["planes.resnet20.x.points=0"], "greater than or equal to 1"),
        (["model@runs.resnet20.model=alexnet"], "alexnet"),
        (["nothing=1"], "no such key"),
    ],
)
def test_wrong_settings_end_with_one_line(repository, overrides, words):
    folder, run = repository
    before = (folder / "params.yaml").read_text()
    done = run("lossatlas", "compose", "preset=smoke", *overrides, code=2)
    assert done.stderr.count("\n") == 1 and words in done.stderr
    assert (folder / "params.yaml").read_text() == before


def test_a_missing_data_root_is_one_line_and_publishes_nothing(repository):
    folder, run = repository
    run("lossatlas", "compose", "preset=cifar-mini", "datasets.cifar10.root=not/there")
    done = run("lossatlas", "stage", "data", "cifar10", code=2)
    assert done.stderr.count("\n") == 1 and "not/there" in done.stderr
    assert not (folder / "artifacts").exists()
    filled = run("lossatlas", "prefill", code=1)
    assert "data cifar10 failed" in filled.stderr and "not/there" in filled.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_one_line(repository):
    _, run = repository
    run("lossatlas", "compose", "preset=smoke", "device=cuda")
    run("lossatlas", "stage", "data", "digits")
    done = run("lossatlas", "stage", "train", "resnet20", code=2)
    assert done.stderr.count("\n") == 1 and "device = 'cuda' is not here" in done.stderr


def test_too_many_examples_are_refused(repository):
    _, run = repository
    run("lossatlas", "compose", "preset=smoke", "planes.resnet20.train_examples=100000")
    failed = run("lossatlas", "prefill", code=1).stderr
    assert "train_examples = 100000 of resnet20: the data set has 512" in failed
    assert "not begun, for want of those: sharpness all, figures all, check all, report all" in failed


def test_a_stage_without_its_input_says_which_to_run(repository):
    _, run = repository
    run("lossatlas", "compose", "preset=smoke")
    done = run("lossatlas", "stage", "train", "vgg9", code=2)
    assert "run `dvc repro` or `lossatlas stage data digits`" in done.stderr
