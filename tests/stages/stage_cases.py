"""A tiny data set, a tiny training, and jobs about them, without a runner."""

from lossatlas.files import read_json, write_json
from lossatlas.models.checkpoint import load_checkpoint, save_checkpoint
from lossatlas.settings import DataSettings, RunSettings
from lossatlas.stages import data, train
from lossatlas.stages.job import Job

SOURCE = DataSettings(kind="digits", train=64, test=16, subset="stratified").model_dump()
TRAIN = {
    "epochs": 1,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 5e-4,
    "schedule": "constant",
    "augment": None,
    "normalization": "li",
    "initialization": "li",
}


def job(root, name, settings, inputs):
    """A job with folders of its own below `root`."""
    places = {"repository": str(root), "cache": str(root / "cache"), "data": SOURCE}
    out, work = root / name / "out", root / name / "work"
    for folder in (out, work):
        folder.mkdir(parents=True, exist_ok=True)
    return Job(name, {**settings, "device": "cpu"}, inputs, places, out, work)


def published_data(root):
    """The output folder of a stage `data`."""
    made = job(root, "digits", {"data": SOURCE}, {})
    data.compute(made)
    return made.out


def trained(root, digits, family, **options):
    """The output folder of a stage `train`."""
    model = {"title": family, "family": family, "options": options}
    run = RunSettings.model_validate({"data": "digits", "seed": 3, "model": model, "train": TRAIN})
    made = job(root, family, {"run": run.model_dump()}, {"data": digits})
    train.compute(made)
    return made.out


def diverged(root, run):
    """The folder of the same run, had it diverged."""
    weights = load_checkpoint(run / "final.safetensors")
    state = {n: t * float("nan") if t.is_floating_point() else t for n, t in weights.state.items()}
    save_checkpoint(root / "wild" / "final.safetensors", state, epoch=1, **weights.model)
    final = dict.fromkeys(("train_loss", "train_error", "test_loss", "test_error"))
    about = read_json(run / "run.json") | {"status": "diverged", "note": "epoch 1: weights not finite", "final": final}
    write_json(root / "wild" / "run.json", about)
    return root / "wild"
