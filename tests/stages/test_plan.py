from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lossatlas.closure import PACKAGE, SourceChangedError, source_hash
from lossatlas.config import compose
from lossatlas.files import read_json, sha256_file
from lossatlas.paths import Workspace
from lossatlas.stages import task as tasks_of_stages
from lossatlas.stages.plan import (
    KINDS,
    SHOWN,
    STUDIES,
    UnknownStageError,
    expected_file,
    make_task,
    published,
    stage_keys,
)
from lossatlas.stages.planned import planned, require_planned, write_planned
from lossatlas.stages.runner import Runner
from lossatlas.stages.task import Task

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
WORKSPACE = Workspace(ROOT)
PARAMS, _ = compose(ROOT / "conf", ["preset=default"])


def tasks(kind: str) -> list[Task]:
    return [make_task(WORKSPACE, PARAMS, key) for key in stage_keys(PARAMS) if key[0] == kind]


def test_every_kind_is_a_stage():
    assert set(STAGES) == {"plan", *KINDS}


@pytest.mark.parametrize("kind", STUDIES)
def test_studies_depend_on_their_plan_and_on_the_kinds_that_they_read(kind):
    read = {item.key[0] for task in tasks(kind) for item in task.inputs.values()}
    expected = {f"artifacts/plans/${{preset}}/stages/{kind}.json", *(f"artifacts/${{preset}}/{name}" for name in read)}
    assert set(STAGES[kind]["deps"]) == expected


@pytest.mark.parametrize("kind", SHOWN)
def test_what_is_shown_depends_on_its_plan_all_artifacts_and_what_it_shows(kind):
    locate = published(WORKSPACE, "${preset}")
    shown = {locate(item.key) for item in tasks(kind)[0].inputs.values() if item.key[0] in SHOWN}
    expected = {f"artifacts/plans/${{preset}}/stages/{kind}.json", "artifacts/${preset}"}
    assert set(STAGES[kind]["deps"]) == expected | {path.relative_to(ROOT).as_posix() for path in shown}


@pytest.mark.parametrize(("kind", "reads"), [("data", []), ("train", ["artifacts/${preset}/data/${item.data}"])])
def test_data_and_runs_depend_on_their_plan_and_input(kind, reads):
    assert STAGES[kind]["do"]["deps"] == [f"artifacts/plans/${{preset}}/stages/{kind}/${{key}}.json", *reads]
    for task in tasks(kind):
        assert [item.key[0] for item in task.inputs.values()] == ["data"] * len(reads)


def test_the_plan_depends_on_all_that_it_is_made_of():
    assert STAGES["plan"]["deps"] == ["params.yaml", "reports/expected", "src/lossatlas"]


class TestPlanned:
    def test_says_what_counts(self):
        files = planned(WORKSPACE, PARAMS)
        run = files["train/resnet20.json"]["resnet20"]
        assert run["settings"]["run"] == PARAMS.runs["resnet20"].model_dump()
        assert run["versions"]["torch"] == version("torch")
        assert run["code"]["models/resnet.py"] == sha256_file(PACKAGE / "models" / "resnet.py")
        assert "models/vgg.py" not in run["code"] and "models/vgg.py" in files["plane.json"]["vgg9"]["code"]
        assert set(files["plane.json"]) == set(PARAMS.planes)
        assert set(files) == {
            *(f"data/{name}.json" for name in PARAMS.datasets),
            *(f"train/{name}.json" for name in PARAMS.runs),
            *(f"{kind}.json" for kind in (*STUDIES, *SHOWN)),
        }

    def test_a_setting_changes_the_files_that_it_concerns(self):
        changed = compose(ROOT / "conf", ["preset=default", "runs.resnet20.seed=7", "tracking.live=false"])[0]
        before, after = planned(WORKSPACE, PARAMS), planned(WORKSPACE, changed)
        assert {name for name in before if before[name] != after[name]} == {"train/resnet20.json"}

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ("report/targets.yaml", {"figures.json", "check.json", "report.json"}),
            ("report/page.html.j2", {"report.json"}),
            ("landscape/slices.py", {"slices.json"}),
            (
                "models/densenet.py",
                {"train/densenet121.json", "plane.json", "profile.json", "hessian.json", "probe.json"},
            ),
        ],
    )
    def test_an_edit_changes_the_files_of_what_uses_it(self, monkeypatch, changed, expected):
        before = planned(WORKSPACE, PARAMS)
        monkeypatch.setattr(
            tasks_of_stages, "source_hash", lambda path: "new" if path == PACKAGE / changed else source_hash(path)
        )
        after = planned(WORKSPACE, PARAMS)
        assert {name for name in before if before[name] != after[name]} == expected

    def test_a_library_changes_the_files_of_what_computes_with_it(self, monkeypatch):
        before = planned(WORKSPACE, PARAMS)
        monkeypatch.setattr(tasks_of_stages, "version", lambda name: "0" if name == "jinja2" else version(name))
        after = planned(WORKSPACE, PARAMS)
        assert {name for name in before if before[name] != after[name]} == {
            *("figures.json", "check.json", "report.json", "explorer.json"),
        }

    def test_expected_values_change_the_check(self, tmp_path):
        place = Workspace(tmp_path)
        before = planned(place, PARAMS)
        (tmp_path / expected_file("default")).parent.mkdir(parents=True)
        (tmp_path / expected_file("default")).write_text("{}")
        after = planned(place, PARAMS)
        assert {name for name in before if before[name] != after[name]} == {"check.json"}

    def test_what_is_the_same_is_left_as_it_is(self, tmp_path):
        params, _ = compose(ROOT / "conf", ["preset=smoke"])
        folder = write_planned(Workspace(tmp_path), params)
        before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
        assert write_planned(Workspace(tmp_path), params) == folder
        assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before

    def test_two_at_once_write_one_after_the_other(self, tmp_path):
        several = [compose(ROOT / "conf", ["preset=smoke", f"runs.vgg9.seed={seed}"])[0] for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            folders = list(pool.map(lambda params: write_planned(Workspace(tmp_path), params), several * 2))
        assert sorted(path.name for path in folders[0].parent.iterdir()) == ["stages"]

    def test_a_stage_that_is_not_as_planned_is_refused(self, tmp_path, monkeypatch):
        params, _ = compose(ROOT / "conf", ["preset=smoke"])
        write_planned(Workspace(tmp_path), params)
        require_planned(Workspace(tmp_path), params, "train", "vgg9")
        monkeypatch.setattr(tasks_of_stages, "version", lambda name: "0")
        with pytest.raises(
            SourceChangedError, match="stage line vgg9_interpolation is not as .*plans/smoke/stages says"
        ):
            require_planned(Workspace(tmp_path), params, "line")

    def test_what_is_no_longer_planned_goes(self, tmp_path):
        workspace = Workspace(tmp_path)
        for overrides in (["preset=smoke"], ["preset=smoke", "~fges.vgg9", "~ensembles.vgg9-digits-fge"]):
            params, _ = compose(ROOT / "conf", overrides)
            folder = write_planned(workspace, params)
            assert read_json(folder / "fge.json").keys() == params.fges.keys()
        (folder / "train" / "stale.json").write_text("{}")
        write_planned(workspace, params)
        assert {path.stem for path in (folder / "train").iterdir()} == set(params.runs)


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


# shown, but too large for git: what DVC makes and fetches
TOO_LARGE = ("/vector", "/explorer.html")


def test_what_is_shown_is_not_cached_by_dvc():
    for kind in KINDS:
        stage = STAGES[kind].get("do", STAGES[kind])
        for item in [item for group in ("outs", "metrics", "plots") for item in stage.get(group, [])]:
            name, options = next(iter(item.items())) if isinstance(item, dict) else (item, {})
            # a manifest is small, and must not come back from the cache when the images have changed
            uncached = name.startswith("reports/") and not name.endswith(TOO_LARGE) or kind == "data"
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
        assert self.of() == self.of("runs.vgg9.seed=3", "tracking.uri=http://localhost:1", "executor=inline")

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
