"""Bad inputs of the command line, settings, files and functions: each is refused in words that say what to do.

Others are tested where they belong: `REFUSED` in `test_settings_ensembles.py`, `test_config.py`, the registry's and the
other modules' own tests.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import lossatlas
from lossatlas.cli import app
from lossatlas.config import ConfigError, compose, validate
from lossatlas.data import load_dataset
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.results import Line, Plane
from lossatlas.training.recipe import Recipe

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture(scope="module")
def smoke():
    return compose(CONF, ["preset=smoke"])[1]


@pytest.fixture
def checkout(tmp_path, monkeypatch, smoke):
    """A folder that looks like a checkout, with settings."""
    (tmp_path / "conf").symlink_to(CONF)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_text(smoke)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOSSATLAS_SCRATCH", raising=False)
    return tmp_path


def command(*words):
    """Exit code and errors of a command that must say one line."""
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


# command line: words, what the one line says
COMMANDS = {
    "unknown kind": (["stage", "nothing", "x"], ["no kind of stage 'nothing'", "data, train"]),
    "unknown run": (["stage", "train", "nobody"], ["no stage train nobody", "known: resnet20"]),
    "run above the folder": (["stage", "train", "../../etc"], ["no stage train ../../etc", "known: resnet20"]),
    "absolute run": (["stage", "train", "/etc/passwd"], ["no stage train /etc/passwd"]),
    "run with NUL": (["stage", "train", "a\0b"], ["no stage train"]),
    "stage that needs a name": (["stage", "train"], ["stage train needs a name", "line, plane"]),
    "stage before its input": (["stage", "train", "vgg9"], ["needs the output of stage data digits", "dvc repro"]),
    "check before a report": (["check"], ["checks.json"]),
    "preset above the folder": (["compose", "preset=../../../etc/passwd"], ["preset/../../../etc/passwd"]),
    "model above the folder": (["compose", "model@runs.x.model=../../secret"], ["secret"]),
    "no override": (["compose", "=="], ["composed from =="]),
    "override without value": (["compose", "preset"], ["composed from preset"]),
    "port of the interface": (["ui", "--port", "70000"], ["port=70000 is not within 1 to 65535"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line(checkout, name):
    words, expected = COMMANDS[name]
    before = sorted(os.listdir(checkout))
    code, err = command(*words)
    assert code == 2 and err.count("\n") == 1 and err.startswith("lossatlas: "), err
    assert all(word in err for word in expected), err
    assert (checkout / "params.yaml").is_file() and set(os.listdir(checkout)) <= {*before, ".lossatlas"}


# settings in params.yaml: where, value, what the line says
SETTINGS = {
    "preset": ("../x", ["preset", "pattern"]),
    "runs": ({}, ["runs", "is empty"]),
    "runs/../evil": ({}, ["runs.../evil", "pattern"]),
    "runs/<b>bold": ({}, ["runs.<b>bold", "pattern"]),
    "runs//etc": ({}, ["runs./etc", "pattern"]),
    "runs/a\0b": ({}, ["runs.a\0b", "pattern"]),
    "planes/../evil": ({}, ["planes.../evil", "pattern"]),
    "datasets/../evil": ({"kind": "digits"}, ["datasets.../evil", "pattern"]),
    "datasets/digits/kind": ("mnist", ["datasets.digits.kind", "'digits', 'cifar10'", "mnist"]),
    "datasets/digits/train": (0, ["datasets.digits.train", "greater than or equal to 1"]),
    "datasets/digits/subset": ("random", ["datasets.digits.subset", "'first' or 'stratified'"]),
    "datasets/digits/colour": ("blue", ["datasets.digits.colour", "unknown key"]),
    "executor/kind": ("threads", ["executor.kind", "'processes'", "threads"]),
    "executor/workers": (0, ["executor.workers", "0"]),
    "tracking/uri": ("mlruns", ["tracking.uri", "should match pattern"]),
    "tracking/live": ("yes", ["tracking.live", "boolean", "yes"]),
    "regime": ("quick", ["regime", "'embedded', 'shortened' or 'full'"]),
    "seed": (-1, ["seed", "greater than or equal to 0", "-1"]),
    "device": ("cuda:x", ["device", "cuda:x"]),
    "runs/resnet20/data": ("nothing", ["runs.resnet20.data = 'nothing'", "known: digits"]),
    "runs/resnet20/train/momentum": (1.0, ["momentum", "less than 1"]),
    "runs/resnet20/train/optimizer": ("lbfgs", ["optimizer", "'sgd' or 'adam'"]),
    "runs/resnet20/train/micro_batch": (1, ["micro_batch", "greater than or equal to 2"]),
    "runs/resnet20/train/precision": ("fp8", ["precision", "'float32'", "fp8"]),
    "runs/resnet20/train/lr": (float("nan"), ["runs.resnet20.train.lr", "finite"]),
    "runs/resnet20/train/weight_decay": (float("inf"), ["weight_decay", "finite"]),
    "runs/resnet20/model/options/colour": (1, ["runs.resnet20.model", "colour"]),
}


@pytest.mark.parametrize("path", SETTINGS)
def test_settings(smoke, path):
    value, expected = SETTINGS[path]
    values = yaml.safe_load(smoke)
    group, _, rest = path.partition("/")
    if rest.startswith((".", "/")) or "\0" in rest:
        values[group][rest] = value
    else:
        *keys, last = path.split("/")
        node = values
        for key in keys:
            node = node[key]
        node[last] = value
    with pytest.raises(ConfigError) as caught:
        validate(values, source="params.yaml")
    text = str(caught.value)
    assert text.startswith("params.yaml: ") and "\n" not in text
    assert all(word in text for word in expected), text


def checkpoint(folder):
    path = folder / "weights.safetensors"
    save_checkpoint(path, torch.nn.Linear(2, 3), family=None, options={}, num_classes=3, input_size=8, epoch=0)
    return path


def written(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


# files: how one is made and read, what the error says
FILES = {
    "empty checkpoint": (lambda f: load_checkpoint(written(f, "a.safetensors", b"")), "a.safetensors is empty; write"),
    "text as checkpoint": (
        lambda f: load_checkpoint(written(f, "notes.txt", b"hello, no weights")),
        "notes.txt is neither a safetensors nor a torch file",
    ),
    "folder as checkpoint": (lambda f: load_checkpoint(f), "does not exist; train the network first"),
    "checkpoint that is not there": (lambda f: load_checkpoint(f / "gone.t7"), "gone.t7 does not exist"),
    "checkpoint of an unknown network": (
        lambda f: load_checkpoint(checkpoint(f)).build(),
        "does not say which network",
    ),
    "checkpoint of another network": (
        lambda f: load_checkpoint(checkpoint(f), family="resnet", depth=20).build(),
        r'does not fit the network .*"depth":20.*name the family and options it was trained with',
    ),
    "result that is not there": (lambda f: Plane.load(f / "gone.h5"), "gone.h5 does not exist"),
    "text as result": (lambda f: Line.load(written(f, "a.h5", b"hello")), "a.h5 is damaged .*remove it and compute"),
    "image folder that is not there": (
        lambda f: load_dataset("imagefolder", root=f / "gone", cache=f),
        r"root = .*gone is not a folder; expected <root>",
    ),
    "image folder without classes": (
        lambda f: (os.makedirs(f / "r/train"), load_dataset("imagefolder", root=f / "r", cache=f)),
        "has no class folders; expected <root>",
    ),
    "data without a root": (lambda f: load_dataset("cifar10", cache=f), "root is missing: cifar10 needs the folder"),
    "root with NUL": (lambda f: load_dataset("imagefolder", root=Path("a\0b"), cache=f), "a\0b is not a folder"),
    "more images than there are": (
        lambda f: load_dataset("digits", cache=f, train=10**6),
        r"train = 1000000",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    make, message = FILES[name]
    with pytest.raises((ValueError, OSError), match=message) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)


IMAGES, LABELS = torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])


def network():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))


def plane(**options):
    return lossatlas.plane(network(), (IMAGES, LABELS), **({"seed": 0, "x": np.linspace(-1, 1, 3)} | options))


# functions: a call, what the error says
CALLS = {
    "labels that are no classes": (
        lambda: lossatlas.plane(network(), (IMAGES, torch.tensor([0, 1, 2, 3])), seed=0),
        "has labels from 0 to 3; the model returns 3 logits, so labels must lie in 0..2",
    ),
    "labels that are no integers": (
        lambda: lossatlas.plane(network(), (IMAGES, LABELS.float()), seed=0),
        "has labels of type float32 and shape .4,.; labels are integers 0, 1",
    ),
    "fewer labels than images": (
        lambda: lossatlas.plane(network(), (IMAGES, LABELS[:3]), seed=0),
        "has 4 inputs and 3 labels; both must be equal and >= 1",
    ),
    "no images": (
        lambda: lossatlas.plane(network(), (IMAGES[:0], LABELS[:0]), seed=0),
        "has 0 inputs and 0 labels; both must be equal and >= 1",
    ),
    "images of another size": (
        lambda: lossatlas.plane(network(), (torch.zeros(4, 3, 9, 9), LABELS), seed=0),
        r"cannot compute on the inputs of data set 'train', float32 .4, 3, 9, 9. .*: mat1 and mat2.*; pass inputs of",
    ),
    "recipe with an unknown schedule": (
        lambda: Recipe(epochs=1, batch_size=8, lr=0.1, schedule="warm"),
        "schedule = 'warm'",
    ),
    "recipe without a batch": (lambda: Recipe(epochs=1, batch_size=0, lr=0.1, schedule="constant"), "batch_size = 0"),
    "recipe of negative length": (lambda: Recipe(epochs=-1, batch_size=8, lr=0.1, schedule="constant"), "epochs = -1"),
    "recipe with another optimizer": (
        lambda: Recipe(epochs=1, batch_size=8, lr=0.1, schedule="constant", optimizer="lbfgs"),
        "optimizer = 'lbfgs'",
    ),
    "a direction from a network": (
        lambda: lossatlas.random_direction(network(), seed=0),
        r"pass `model.state_dict\(\)`",
    ),
    "an option without a family": (lambda: load_checkpoint("x.safetensors", depth=8), "options depth need a family"),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions(name):
    call, message = CALLS[name]
    with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
        call()


def test_examples_that_a_general_network_cannot_take_are_named():
    with pytest.raises(ValueError, match=r"network .Sequential. cannot compute on the inputs of data set 'train'"):
        lossatlas.line(network(), (torch.zeros(4, 3, 9, 9), LABELS), seed=0, loss=torch.nn.CrossEntropyLoss())
