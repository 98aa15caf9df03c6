from functools import cache
from pathlib import Path

import pytest
import yaml

from lossatlas.config import ConfigError, compose, load_params, validate, write_params
from lossatlas.paths import Workspace
from lossatlas.stages.plan import STUDIES

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PRESETS = sorted(
    path.relative_to(CONF / "preset").with_suffix("").as_posix() for path in (CONF / "preset").rglob("*.yaml")
)


@cache
def composed(preset):
    """A preset's settings and their text; Hydra takes seconds for a large one."""
    return compose(CONF, [f"preset={preset}"])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_and_heads_with_its_command(preset):
    params, text = composed(preset)
    assert params.preset == preset
    assert validate(yaml.safe_load(text), source="text") == params
    assert {"datasets", "runs", *STUDIES.values()} <= set(yaml.safe_load(text))  # what dvc.yaml iterates over
    head = (CONF / "preset" / f"{preset}.yaml").read_text()
    assert "# Command:" in head and "# Expected:" in head


def test_committed_params_are_the_default_composition():
    assert (ROOT / "params.yaml").read_text() == compose(CONF, [])[1]


def test_composition_is_the_text_that_dvc_would_write(tmp_path):
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump(tmp_path / "params.yaml", str(CONF), None, "config", "", ["preset=smoke"])
    assert (tmp_path / "params.yaml").read_text() == compose(CONF, ["preset=smoke"])[1]


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_group_file_says_what_it_is(path):
    head = path.read_text().splitlines()[:2]
    assert any(line.startswith("# ") and not line.startswith("# @package") for line in head)


def test_every_model_file_builds():
    from lossatlas.models import build

    for path in sorted((CONF / "model").glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())
        assert build(settings["family"], device="meta", **settings["options"]) is not None


def test_paper_preset_has_the_papers_settings():
    params, _ = composed("paper")
    run = params.runs["resnet56"].train
    assert (run.epochs, run.batch_size, run.lr, run.weight_decay, run.momentum) == (300, 128, 0.1, 5e-4, 0.9)
    assert [round(f * run.epochs) for f in run.schedule_options.fractions] == [150, 225, 275]
    assert params.runs["resnet110_noshort"].train.lr == 0.01
    assert params.runs["resnet56_noshort"].train.lr == 0.1
    assert (params.planes["resnet56"].x.points, params.planes["resnet20"].y.points) == (251, 51)
    assert params.lines["vgg9_interpolation"].alpha.model_dump() == {"min": -0.5, "max": 1.5, "points": 401}
    assert params.planes["resnet56"].train_examples is None
    assert [(c.normalization, c.alpha.points, c.repeats) for c in params.profiles["vgg9"].cuts.values()] == [
        ("filter", 401, 10), ("layer", 401, 1), ("none", 401, 1), ("none", 401, 1)
    ]  # fmt: skip
    batches = {name: params.runs[name].train.batch_size for name in ("vgg9", "vgg9_adam_large", "resnet56_large_nowd")}
    assert batches == {"vgg9": 128, "vgg9_adam_large": 8192, "resnet56_large_nowd": 4096}
    deepest = [params.runs[name].train.lr for name in params.runs if name.startswith("resnet158_noshort")]
    assert deepest == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    assert [(run.epochs, run.lr) for run in (params.curves[f"{n}_bezier"].train for n in ("vgg16", "wrn28_10"))] == [
        (600, 0.015), (200, 0.03)
    ]  # fmt: skip
    assert params.curves["vgg16_segment"].points == 61
    rates = {name: params.runs[name].train.lr for name in ("vgg16", "preresnet164", "wrn28_10")}
    assert rates == {"vgg16": 0.05, "preresnet164": 0.1, "wrn28_10": 0.1}


@pytest.mark.parametrize("preset", PRESETS)
def test_batches_are_the_papers_shares_of_the_training_set(preset):
    params, _ = composed(preset)
    n = next(iter(params.datasets.values())).train or 50_000
    for name, run in params.runs.items():
        vgg = run.model.options.get("depth") == 9
        if not vgg and not name.startswith("resnet56"):
            continue
        # 8,192 and 4,096 of 50,000 images; the small batch is a 64th or a 32nd, the papers' own on their data
        large, small = (
            ((0.164, 64) if vgg else (0.082, 32)) if n < 50_000 else ((8192 / n if vgg else 4096 / n), n / 128)
        )
        expected = large * n if "_large" in name else max(n / small, 8)
        if preset == "cifar-mini" and "_large" not in name:  # so few images need more steps than such batches make
            assert run.train.batch_size == 32 <= expected, name
        else:
            assert abs(run.train.batch_size - expected) <= 1, name


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("colour=blue", ["no such key to override: 'colour'"]),
        ("+colour=blue", ["colour: unknown key"]),
        ("runs.resnet20.train.epoch=3", ["no such key to override: 'runs.resnet20.train.epoch'"]),
        ("runs.resnet20.train.epochs=-1", ["runs.resnet20.train.epochs", "greater than or equal to 0", "-1"]),
        ("runs.resnet20.train.epochs=three", ["runs.resnet20.train.epochs", "valid integer", "three"]),
        ("runs.resnet20.train.lr=0", ["runs.resnet20.train.lr", "greater than 0"]),
        ("runs.resnet20.model.family=alexnet", ["runs.resnet20.model", "alexnet", "resnet"]),
        ("runs.resnet20.model.options.depth=57", ["runs.resnet20.model", "57", "6n+2"]),
        ("model@runs.resnet20.model=alexnet", ["model/alexnet", "Available options", "resnet20"]),
        ("preset=nothing", ["preset/nothing", "Available options", "smoke"]),
        ("planes.resnet20.x.points=0", ["planes.resnet20.x.points", "greater than or equal to 1", "0"]),
        ("planes.resnet20.run=resnet18", ["planes.resnet20.run", "resnet18", "known: "]),
        ("planes.resnet20.x.min=2.0", ["planes.resnet20.x", "must be above"]),
        ("runs.resnet20.train.schedule=cosine_cycles", ["schedule_options", "cosine_cycles"]),
        ("runs.resnet20.train.checkpoints=[9]", ["checkpoints", "9"]),
        ("device=tpu", ["device", "tpu"]),
        ("seed=1.5", ["seed", "1.5"]),
    ],
)
def test_wrong_settings_are_one_line_and_write_nothing(tmp_path, override, words):
    workspace = Workspace(tmp_path)
    (tmp_path / "conf").symlink_to(CONF)
    (tmp_path / "params.yaml").write_text("before")
    with pytest.raises(ConfigError) as caught:
        write_params(workspace, ["preset=smoke", override])
    text = str(caught.value)
    assert "\n" not in text and text.startswith("composed from preset=smoke")
    assert all(word in text for word in words), text
    assert (tmp_path / "params.yaml").read_text() == "before"


def test_an_empty_study_is_refused():
    values = yaml.safe_load(compose(CONF, ["preset=smoke"])[1])
    with pytest.raises(ConfigError, match="runs: is empty"):
        validate({**values, "runs": {}, "planes": {}, "lines": {}}, source="here")


def test_params_that_are_missing_or_broken_name_the_remedy(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(ConfigError, match=r"params.yaml does not exist; run `lossatlas compose"):
        load_params(workspace)
    workspace.params.write_text("a: [")
    with pytest.raises(ConfigError, match="params.yaml is not YAML"):
        load_params(workspace)
    workspace.params.write_text("- 1\n")
    with pytest.raises(ConfigError, match="holds no settings"):
        load_params(workspace)


def test_seed_zero_is_a_seed():
    assert compose(CONF, ["preset=smoke"])[0].runs["resnet20"].seed == 0
    assert compose(CONF, ["preset=smoke", "seed=7"])[0].planes["resnet20"].seed == 7


@pytest.mark.parametrize("uri", ["postgresql+psycopg://me:s3cret@host/db", "postgresql://me:s3c/r@et@host/db"])
def test_a_password_in_an_address_is_not_told(uri):
    wrong = ["preset=smoke", f'tracking.uri="{uri}"', "seed=-1"]
    with pytest.raises(ConfigError, match=r"tracking.uri=.*me:\*\*\*@host/db") as caught:
        compose(CONF, wrong)
    assert "s3c" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"tracking.uri: String should match pattern") as caught:
        compose(CONF, ["preset=smoke", "tracking.uri=me:s3cret@host"])
    assert "found" not in str(caught.value)
