from pathlib import Path

import pytest
import yaml
from PIL import Image

from lossatlas.closure import PACKAGE
from lossatlas.config import compose
from lossatlas.models import FAMILIES
from lossatlas.paths import Workspace
from lossatlas.stages.plan import KINDS, SHOWN, STUDIES, UnknownStageError, make_task, published, stage_keys
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Task

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
WORKSPACE = Workspace(ROOT)
PARAMS, _ = compose(ROOT / "conf", ["preset=default"])


def listed_sources(kind: str, family: str) -> set[Path]:
    """The package's files that the DVC stage of a kind depends on; folders stand for what they hold."""
    stage = STAGES[kind]
    deps = stage.get("do", stage)["deps"]
    found = set()
    for dep in deps:
        path = ROOT / dep.replace("${item.model.family}", family)
        if path.is_relative_to(PACKAGE) and path.is_dir():
            found |= {file for file in path.rglob("*.py")}
        elif path.is_relative_to(PACKAGE):
            found.add(path)
    return found


def tasks(kind: str) -> list[Task]:
    return [make_task(WORKSPACE, PARAMS, key) for key in stage_keys(PARAMS) if key[0] == kind]


def test_every_kind_is_a_stage():
    assert set(STAGES) == set(KINDS)


@pytest.mark.parametrize("kind", ["data", "train", "slices", *SHOWN])
def test_dvc_deps_are_the_import_closure(kind):
    for task in tasks(kind):
        family = PARAMS.runs[task.key[1]].model.family if kind == "train" else ""
        assert listed_sources(kind, family) == set(task.code), task.key


@pytest.mark.parametrize("kind", [kind for kind in STUDIES if kind != "slices"])
def test_dvc_deps_of_landscapes_are_the_closure_and_all_families(kind):
    families = {PACKAGE / "models" / f"{family.module}.py" for family in FAMILIES.values()}
    for task in tasks(kind):
        assert listed_sources(kind, "") == set(task.code) | families, task.key


def test_dvc_outs_are_the_published_outputs():
    for kind in KINDS:
        task = tasks(kind)[0]
        stage = STAGES[kind].get("do", STAGES[kind])
        listed = [item for group in ("outs", "metrics", "plots") for item in stage.get(group, [])]
        names = [next(iter(item)) if isinstance(item, dict) else item for item in listed]
        filled = {name.replace("${preset}", "default").replace("${key}", task.key[1]) for name in names}
        # one DVC stage holds all studies of a kind
        outputs = [path.parent if kind in STUDIES else path for path in task.outputs.values()]
        assert filled == {path.relative_to(ROOT).as_posix() for path in outputs}, kind


def test_studies_that_are_published_stay_when_dvc_runs_their_stage():
    for kind in STUDIES:
        assert [next(iter(item.values())) for item in STAGES[kind]["outs"]] == [{"persist": True}]


def test_what_is_shown_is_not_cached_by_dvc():
    for kind in KINDS:
        stage = STAGES[kind].get("do", STAGES[kind])
        for item in [item for group in ("outs", "metrics", "plots") for item in stage.get(group, [])]:
            name, options = next(iter(item.items())) if isinstance(item, dict) else (item, {})
            # a manifest is small, and must not come back from the cache when the images have changed
            uncached = name.startswith("reports/") or kind == "data"
            assert (options.get("cache") is False) == uncached, name


def test_every_dependency_comes_earlier():
    done = set()
    for key in stage_keys(PARAMS):
        assert {item.key for item in make_task(WORKSPACE, PARAMS, key).inputs.values()} <= done
        done.add(key)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (("train", "alexnet"), r"no stage train alexnet \(known: resnet20, "),
        (("traim", "resnet20"), r"no stage traim resnet20 \(kinds: data, train"),
        (("report", "some"), r"\(known: all\)"),
    ],
)
def test_unknown_stages_are_named(key, words):
    with pytest.raises(UnknownStageError, match=words):
        make_task(WORKSPACE, PARAMS, key)


def write_images(root: Path, *, shade: int = 40) -> None:
    """An image folder of two classes, one 8x8 image each per split."""
    for split in ("train", "test"):
        for i, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (shade, shade + i, shade)).save(root / split / name / f"{i}.png")


class TestStageHash:
    @staticmethod
    def of(*overrides, key=("data", "digits")):
        params, _ = compose(ROOT / "conf", ["preset=smoke", *overrides])
        return make_task(WORKSPACE, params, key).describe(lambda key: ROOT)["stage_hash"]

    def test_settings_of_other_stages_do_not_count(self):
        assert self.of() == self.of("runs.vgg9.seed=3", "tracking.uri=http://localhost:1", "executor=serial")

    def test_its_own_do(self):
        assert self.of() != self.of("datasets.digits.train=100")

    def test_the_inputs_content_counts(self, tmp_path):
        params, _ = compose(ROOT / "conf", ["preset=smoke"])
        task = make_task(WORKSPACE, params, ("train", "vgg9"))
        (tmp_path / "content.json").write_text("1")
        one = task.describe(lambda key: tmp_path)["stage_hash"]
        (tmp_path / "content.json").write_text("2")
        assert task.describe(lambda key: tmp_path)["stage_hash"] != one

    def test_where_the_data_lie_does_not(self, tmp_path):
        found = []
        for place in ("here", "there"):
            write_images(tmp_path / place / "images")
            workspace = Workspace(tmp_path / place)
            overrides = ["preset=cifar-mini", "datasets.cifar10.train=null", "datasets.cifar10.test=null"]
            params, _ = compose(ROOT / "conf", [*overrides, f"datasets.cifar10.root={tmp_path / place / 'images'}"])
            Runner(workspace, params).publish(("data", "cifar10"))
            task = make_task(workspace, params, ("train", "resnet20"))
            found.append(task.describe(published(workspace, "cifar-mini"))["stage_hash"])
        assert found[0] == found[1]

    def test_changed_images_do(self, tmp_path):
        workspace = Workspace(tmp_path)
        params, _ = compose(ROOT / "conf", ["preset=cifar-mini", "datasets.cifar10.root=images"])
        write_images(tmp_path / "images")
        key = ("data", "cifar10")
        before = make_task(workspace, params, key).describe(lambda key: ROOT)["stage_hash"]
        write_images(tmp_path / "images", shade=90)
        assert make_task(workspace, params, key).describe(lambda key: ROOT)["stage_hash"] != before
