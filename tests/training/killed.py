"""A training in a process of its own that kills itself, as a power cut would, at a chosen moment."""

import multiprocessing
import os
import signal
from dataclasses import dataclass

import torch

from lossatlas import files as files_module
from lossatlas.models import checkpoint
from lossatlas.models.checkpoint import save_checkpoint
from lossatlas.training import loop, state
from training.cases import CLASSES, make_data, network, recipe

# the server imports once (torch's optimizers import the third one at their first step) and forks a fresh process
# for each training
_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["lossatlas.training.loop", "lossatlas.models.checkpoint", "torch._dynamo", "h5py"])


@dataclass(frozen=True)
class Case:
    """A network and how it is trained."""

    family: str
    options: dict
    settings: dict


RANDOM = {"epochs": 3, "checkpoints": [1, 2], "augment": {"padding": 1, "flip": True}}
CASES = {
    "batch norm": Case("resnet", {"depth": 8, "base_width": 4}, {**RANDOM, "micro_batch": 5}),
    "vgg dropout": Case("vgg", {"depth": 16, "variant": "garipov", "batch_norm": False, "base_width": 4}, RANDOM),
    "adam dropout": Case(
        "wide_resnet",
        {"depth": 10, "widen": 1, "base_width": 8, "dropout": 0.3},
        {**RANDOM, "optimizer": "adam", "lr": 0.01, "schedule": "cosine_cycles", "schedule_options": {"cycles": 2}},
    ),
}
STEPS = 4  # per epoch: 26 examples in batches of 8, 8, 8 and 2


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def half(path, content):
    """Die in the middle of a file's content."""
    with files_module.replacing(path) as temporary:
        temporary.write_bytes(content[: len(content) // 2])
        die()


def arm(moment, number):
    """Arrange the death of this process: `step` within one, around the writing of the state or of the weights."""
    if moment == "step":
        plain = loop._Run._step
        steps = iter(range(1, 1000))

        def step(self, batch, draws):
            plain(self, batch, draws)
            if next(steps) == number:
                die()

        loop._Run._step = step
    elif moment in ("writing state", "writing weights"):
        module = state if moment == "writing state" else checkpoint
        times = iter(range(1000))

        def write(path, content):
            half(path, content) if next(times) == number else files_module.write_bytes(path, content)

        module.write_bytes = write
    else:
        plain_state = loop.save_state

        def save(path, model, optimizer, progress):
            if (moment, number) == ("before state", progress.epoch):
                die()
            plain_state(path, model, optimizer, progress)
            if (moment, number) == ("after state", progress.epoch):
                die()

        loop.save_state = save


def train_case(name, folder, death):
    """Train a case in `folder`, what the stage `train` does in small."""
    torch.set_num_threads(1)
    case = CASES[name]
    if death:
        arm(*death)
    about = {"family": case.family, "options": case.options, "num_classes": CLASSES, "input_size": 8}

    def keep(epoch, model):
        for file in (f"epoch_{epoch:04d}.safetensors", "final.safetensors"):
            save_checkpoint(folder / "out" / file, model, epoch=epoch, **about)

    model = network(case.family, **case.options)
    history, _ = loop.train(model, make_data(), recipe(**case.settings), seed=11, keep=keep, state=folder / "state.pt")
    history.save(folder / "out" / "history.h5")


def train_apart(name, folder, death=None):
    """Return how a training in a fresh process ended."""
    process = _FRESH.Process(target=train_case, args=(name, folder, death))
    process.start()
    process.join(60)
    code = process.exitcode
    process.close()
    return code


def files(folder):
    """What a training published; a file that a kill left unfinished has a name of its own."""
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir() if not path.name.endswith(".part")}
